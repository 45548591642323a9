"""Imports of the archive that run behind a request; customers are found by name"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "archive_run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("stage IN ('waiting', 'running', 'done', 'refused', 'failed')", name="stage_known"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("customer_name", "customer", ["name"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("customer_name", table_name="customer")
    op.drop_table("archive_run")
