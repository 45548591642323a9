"""Wrong tries counted per name and address, one-time codes that work once"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sign_in_tries",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("wrong", sa.SmallInteger(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.add_column("staff", sa.Column("totp_step", sa.BigInteger(), nullable=True))
    op.drop_column("staff", "failures")
    op.drop_column("staff", "locked_until")


def downgrade() -> None:
    """Undo."""
    op.add_column("staff", sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staff", sa.Column("failures", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.drop_column("staff", "totp_step")
    op.drop_table("sign_in_tries")
