"""The learning list"""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Undo."""
