"""Who may do what: one table of roles and permissions (电力客服管理制度 第十一条)."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a member of staff is. A permission is given to roles, never to persons."""

    AGENT = "agent"  # 坐席
    HALL = "hall"  # 营业厅 / 供电管理员
    AREA_OFFICE = "area_office"  # 片区管理所
    MANAGER = "manager"  # 客户经理
    PROXY = "proxy"  # 村电工
    PUBLISHER = "publisher"  # 停电通知发布
    SUPERVISOR = "supervisor"  # 督察
    ADMIN = "admin"
    AUDITOR = "auditor"


class Level(StrEnum):
    """How far a manager answers (公司大客户管理 第五条: 区域大客户经理, 公司大客户经理)."""

    AREA = "area"  # the areas that are theirs
    COMPANY = "company"  # all


class Permission(StrEnum):
    """One thing that can be allowed."""

    CUSTOMERS_READ = "customers.read"  # see accounts, personal data masked
    CUSTOMERS_REVEAL = "customers.reveal"  # see personal data of one account, with a reason, logged
    CUSTOMERS_EDIT = "customers.edit"
    CUSTOMERS_IMPORT = "customers.import"
    CUSTOMERS_EXPORT = "customers.export"
    TIERS_CLASSIFY = "tiers.classify"  # propose and confirm the annual classification
    TIERS_CHANGE = "tiers.change"  # move one account, with a reason
    AREAS_HAND_OVER = "areas.hand_over"
    LINKS_MAKE = "links.make"  # one-time links that bind a chat to an account
    QUEUE_SERVE = "queue.serve"  # talk with customers: claim, write, hand over, keep promises
    FLOOR_LEAD = "floor.lead"  # take over, whisper, set what agents can do, storm mode
    STAFF_MANAGE = "staff.manage"
    TOKENS_MANAGE = "tokens.manage"
    ACCESS_READ = "access.read"  # the access log
    EVENTS_READ = "events.read"
    GUIDE_GAP = "guide.gap"  # say that something is not in the guide
    GUIDE_LEARN = "guide.learn"  # the learning list: aliases, drafts of entries, out of scope
    GUIDE_REVIEW = "guide.review"  # publish new entries of others, and changes that make answers worse
    POLICY_EDIT = "policy.edit"  # publish a policy, make days working or free; everybody may read it
    ERASE = "erase"


_P, _R = Permission, Role
ALLOWED: Final[dict[Permission, frozenset[Role]]] = {
    _P.CUSTOMERS_READ: frozenset(Role) - {_R.PUBLISHER},
    _P.CUSTOMERS_REVEAL: frozenset({_R.AGENT, _R.HALL, _R.AREA_OFFICE, _R.MANAGER, _R.PROXY, _R.SUPERVISOR, _R.ADMIN}),
    _P.CUSTOMERS_EDIT: frozenset({_R.HALL, _R.MANAGER, _R.ADMIN}),
    _P.CUSTOMERS_IMPORT: frozenset({_R.HALL, _R.ADMIN}),
    _P.CUSTOMERS_EXPORT: frozenset({_R.HALL, _R.SUPERVISOR, _R.ADMIN}),
    _P.TIERS_CLASSIFY: frozenset({_R.HALL, _R.ADMIN}),
    _P.TIERS_CHANGE: frozenset({_R.HALL, _R.SUPERVISOR, _R.ADMIN}),
    _P.AREAS_HAND_OVER: frozenset({_R.SUPERVISOR, _R.ADMIN}),
    _P.LINKS_MAKE: frozenset({_R.AGENT, _R.HALL, _R.MANAGER, _R.ADMIN}),
    _P.QUEUE_SERVE: frozenset({_R.AGENT, _R.MANAGER, _R.SUPERVISOR}),
    _P.FLOOR_LEAD: frozenset({_R.SUPERVISOR}),
    _P.STAFF_MANAGE: frozenset({_R.ADMIN}),
    _P.TOKENS_MANAGE: frozenset({_R.ADMIN}),
    _P.ACCESS_READ: frozenset({_R.AUDITOR}),
    _P.EVENTS_READ: frozenset({_R.SUPERVISOR, _R.ADMIN, _R.AUDITOR}),
    _P.GUIDE_GAP: frozenset({_R.AGENT, _R.HALL, _R.MANAGER, _R.SUPERVISOR}),
    _P.GUIDE_LEARN: frozenset({_R.AGENT, _R.HALL, _R.MANAGER, _R.SUPERVISOR, _R.ADMIN}),
    _P.GUIDE_REVIEW: frozenset({_R.SUPERVISOR, _R.ADMIN}),
    _P.POLICY_EDIT: frozenset({_R.SUPERVISOR, _R.ADMIN}),
    _P.ERASE: frozenset({_R.ADMIN}),
}


def may(role: Role, permission: Permission) -> bool:
    """Whether the table allows it."""
    return role in ALLOWED[permission]
