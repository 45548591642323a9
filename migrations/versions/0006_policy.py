"""The policy document, versioned"""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""


def downgrade() -> None:
    """Undo."""
