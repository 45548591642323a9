"""The green channel: queue, seats of agents, their messages, promises, alarms, canned replies, storms"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply."""
    op.drop_constraint("handler_known", "conversation", type_="check")
    op.create_check_constraint("handler_known", "conversation", "handler IN ('bot', 'queue', 'agent')")
    op.drop_constraint("direction_known", "record_line", type_="check")
    op.create_check_constraint("direction_known", "record_line", "direction IN ('in', 'out', 'note')")
    op.create_table(
        "canned_reply",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("shortcut", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("shortcut", "language"),
    )
    op.create_table(
        "storm",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("began_by", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "storm_open",
        "storm",
        [sa.literal_column("(ended_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "seat",
        sa.Column("staff_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'offline'"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("capacity", sa.SmallInteger(), nullable=False),
        sa.Column("load", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skills", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column(
            "languages",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[\"zh_CN\"]'"),
            nullable=False,
        ),
        sa.Column("shifts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lapsed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('online', 'break', 'away', 'offline')", name="status_known"),
        sa.CheckConstraint("load >= 0", name="load_counted"),
        sa.ForeignKeyConstraint(
            ["staff_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("staff_id"),
    )
    op.create_table(
        "promise",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("offer_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reminded", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("proof", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('callback')", name="kind_known"),
        sa.CheckConstraint("status IN ('open', 'overdue', 'kept', 'cancelled')", name="status_known"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contact.id"],
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_promise_account_id"), "promise", ["account_id"], unique=False)
    op.create_index(op.f("ix_promise_contact_id"), "promise", ["contact_id"], unique=False)
    op.create_index(op.f("ix_promise_conversation_id"), "promise", ["conversation_id"], unique=False)
    op.create_index(op.f("ix_promise_owner_id"), "promise", ["owner_id"], unique=False)
    op.create_index(
        "promise_due", "promise", ["due_at"], unique=False, postgresql_where=sa.text("status IN ('open', 'overdue')")
    )
    op.create_index(
        "promise_open", "promise", ["subject"], unique=True, postgresql_where=sa.text("status IN ('open', 'overdue')")
    )
    op.create_table(
        "queue_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("skill", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("agent_id", sa.BigInteger(), nullable=True),
        sa.Column("offered_to", sa.BigInteger(), nullable=True),
        sa.Column("offer_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("declined", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("outcome", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("category", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint(
            "status IN ('waiting', 'offered', 'claimed', 'transferring', 'closed', 'returned', 'left', 'expired')",
            name="status_known",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"],
            ["staff.id"],
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["offered_to"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_queue_entry_account_id"), "queue_entry", ["account_id"], unique=False)
    op.create_index(op.f("ix_queue_entry_conversation_id"), "queue_entry", ["conversation_id"], unique=False)
    op.create_index("queue_entry_ended", "queue_entry", ["ended_at"], unique=False)
    op.create_index(
        "queue_entry_held",
        "queue_entry",
        ["agent_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('claimed', 'transferring')"),
    )
    op.create_index(
        "queue_entry_open",
        "queue_entry",
        ["conversation_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('waiting', 'offered', 'claimed', 'transferring')"),
    )
    op.create_index(
        "queue_entry_waiting",
        "queue_entry",
        ["joined_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('waiting', 'offered')"),
    )
    op.create_table(
        "agent_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'held'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('held', 'released', 'undone', 'refused')", name="state_known"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["line_id"],
            ["record_line.id"],
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"],
            ["staff.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversation_id", "client_id"),
    )
    op.create_index(
        "agent_message_held", "agent_message", ["release_at"], unique=False, postgresql_where=sa.text("state = 'held'")
    )
    op.create_table(
        "alarm",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'danger'"), nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('danger')", name="kind_known"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["line_id"],
            ["record_line.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "alarm_open", "alarm", ["conversation_id"], unique=True, postgresql_where=sa.text("acknowledged_at IS NULL")
    )
    op.create_index(op.f("ix_alarm_conversation_id"), "alarm", ["conversation_id"], unique=False)
    op.create_table(
        "promise_attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("promise_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("result IN ('reached', 'no_answer', 'wrong_number')", name="result_known"),
        sa.ForeignKeyConstraint(
            ["promise_id"],
            ["promise.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_promise_attempt_promise_id"), "promise_attempt", ["promise_id"], unique=False)
    op.add_column("conversation", sa.Column("agent_id", sa.BigInteger(), nullable=True))
    op.add_column("conversation", sa.Column("read_to", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index(op.f("ix_conversation_agent_id"), "conversation", ["agent_id"], unique=False)
    op.create_foreign_key("conversation_agent_id_fkey", "conversation", "staff", ["agent_id"], ["id"])
    op.create_check_constraint("agent_answers", "conversation", "(handler = 'agent') = (agent_id IS NOT NULL)")


def downgrade() -> None:
    """Undo."""
    op.execute("UPDATE conversation SET handler = 'bot', agent_id = NULL")
    op.execute("DELETE FROM record_line WHERE direction = 'note'")
    op.drop_constraint("agent_answers", "conversation", type_="check")
    op.drop_constraint("handler_known", "conversation", type_="check")
    op.create_check_constraint("handler_known", "conversation", "handler IN ('bot')")
    op.drop_constraint("direction_known", "record_line", type_="check")
    op.create_check_constraint("direction_known", "record_line", "direction IN ('in', 'out')")
    op.drop_constraint("conversation_agent_id_fkey", "conversation", type_="foreignkey")
    op.drop_index(op.f("ix_conversation_agent_id"), table_name="conversation")
    op.drop_column("conversation", "read_to")
    op.drop_column("conversation", "agent_id")
    op.drop_index(op.f("ix_promise_attempt_promise_id"), table_name="promise_attempt")
    op.drop_table("promise_attempt")
    op.drop_index(op.f("ix_alarm_conversation_id"), table_name="alarm")
    op.drop_index("alarm_open", table_name="alarm", postgresql_where=sa.text("acknowledged_at IS NULL"))
    op.drop_table("alarm")
    op.drop_index("agent_message_held", table_name="agent_message", postgresql_where=sa.text("state = 'held'"))
    op.drop_table("agent_message")
    op.drop_index(
        "queue_entry_waiting", table_name="queue_entry", postgresql_where=sa.text("status IN ('waiting', 'offered')")
    )
    op.drop_index(
        "queue_entry_open",
        table_name="queue_entry",
        postgresql_where=sa.text("status IN ('waiting', 'offered', 'claimed', 'transferring')"),
    )
    op.drop_index(
        "queue_entry_held", table_name="queue_entry", postgresql_where=sa.text("status IN ('claimed', 'transferring')")
    )
    op.drop_index("queue_entry_ended", table_name="queue_entry")
    op.drop_index(op.f("ix_queue_entry_conversation_id"), table_name="queue_entry")
    op.drop_index(op.f("ix_queue_entry_account_id"), table_name="queue_entry")
    op.drop_table("queue_entry")
    op.drop_index("promise_open", table_name="promise", postgresql_where=sa.text("status IN ('open', 'overdue')"))
    op.drop_index("promise_due", table_name="promise", postgresql_where=sa.text("status IN ('open', 'overdue')"))
    op.drop_index(op.f("ix_promise_owner_id"), table_name="promise")
    op.drop_index(op.f("ix_promise_conversation_id"), table_name="promise")
    op.drop_index(op.f("ix_promise_contact_id"), table_name="promise")
    op.drop_index(op.f("ix_promise_account_id"), table_name="promise")
    op.drop_table("promise")
    op.drop_table("seat")
    op.drop_index("storm_open", table_name="storm", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("storm")
    op.drop_table("canned_reply")
