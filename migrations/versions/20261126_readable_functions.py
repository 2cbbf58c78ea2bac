"""Rewrite the text of all database functions for readers: comments, layout and names of local variables.

No function changes what it does. The two SQL files beside this one are frozen copies: all functions with their new text,
and with the text that they had before. The current text is in src/imagesvc/sql/.
"""

import re
from pathlib import Path

from alembic import op

revision = "20261126a"
down_revision = "20261121l"
branch_labels = None
depends_on = None

FROZEN = Path(__file__).parent


def upgrade() -> None:
    _replace_functions("20261126_readable_functions_upgrade.sql")


def downgrade() -> None:
    _replace_functions("20261126_readable_functions_downgrade.sql")


def _replace_functions(file_name: str) -> None:
    """Execute each statement of the file by itself: asyncpg prepares statements, one at a time."""
    text = (FROZEN / file_name).read_bytes().decode()
    for statement in re.split(r"^(?=CREATE OR REPLACE FUNCTION )", text, flags=re.MULTILINE)[1:]:
        op.get_bind().exec_driver_sql(statement)
