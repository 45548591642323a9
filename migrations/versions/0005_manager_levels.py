"""Levels of customer managers; what a list of accounts is sorted by; marks of persons who were erased"""

import sqlalchemy as sa
from alembic import op

from desk.initials import initials

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.add_column("staff", sa.Column("level", sa.Text(), server_default=sa.text("'area'"), nullable=False))
    op.create_check_constraint("level_known", "staff", "level IN ('area', 'company')")
    op.add_column("account", sa.Column("initials", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("account", sa.Column("bought", sa.Numeric(16, 2), server_default=sa.text("0"), nullable=False))
    connection = op.get_bind()
    known = connection.execute(sa.text("SELECT id, name FROM account")).all()
    if known:
        spelled = [{"number": number, "initials": initials(name)} for number, name in known]
        connection.execute(sa.text("UPDATE account SET initials = :initials WHERE id = :number"), spelled)
    op.execute("""
        UPDATE account a SET bought = y.amount
        FROM (SELECT DISTINCT ON (account_id) account_id, amount FROM account_year ORDER BY account_id, year DESC) y
        WHERE y.account_id = a.id""")
    op.create_index("account_by_name", "account", ["initials", "id"])
    op.create_index("account_by_tier", "account", ["tier", "id"])
    op.create_index("account_by_bought", "account", ["bought", "id"])
    op.create_index("account_by_running", "account", [sa.text("coalesce(running_kva, 0)"), "id"])
    op.add_column("classification", sa.Column("inputs", sa.Text(), nullable=True))
    op.create_table(
        "erased_mark",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("part IN ('phone', 'contact', 'holder')", name="part_known"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_erased_mark_account_id", "erased_mark", ["account_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("erased_mark")
    op.drop_column("classification", "inputs")
    for name in ("account_by_running", "account_by_bought", "account_by_tier", "account_by_name"):
        op.drop_index(name, table_name="account")
    op.drop_column("account", "bought")
    op.drop_column("account", "initials")
    op.drop_constraint("level_known", "staff")
    op.drop_column("staff", "level")
