"""Import user events: logins, new devices, changed limits. An event has no id; its row number identifies it."""

from typing import Any

from fields import Cells, entity, identifier, ip, moment, one_of
from importing import Importer, main
from records import Record

TYPES = ("login", "login_failed", "password_changed", "device_added", "limit_raised", "document_uploaded")


class UserEvents(Importer):
    """Imports user events, one per row."""

    columns = ("entity_tax_id", "user_id", "type", "occurred_at", "ip", "device")
    entity_column = "entity_tax_id"
    table = """
        CREATE TABLE IF NOT EXISTS user_events (
            entity_tax_id TEXT, user_id TEXT, type TEXT, occurred_at TEXT, ip TEXT, device TEXT,
            job_id TEXT, row_number INTEGER, PRIMARY KEY (job_id, row_number))"""
    # Equal events are not duplicates, so an existing row can only be this job's own earlier write of this row.
    insert = """
        INSERT OR REPLACE INTO user_events VALUES (:entity_tax_id, :user_id, :type, :occurred_at, :ip,
            :device, :job_id, :row_number)"""

    def name(self, record: Record) -> dict[str, str]:
        """Returns the line of the file where the record starts."""
        return {"rowKey": f"row_{record.line}"}

    def validate(self, cells: Cells) -> dict[str, Any]:
        """Validate every cell."""
        return {
            "entity_tax_id": entity(cells, "entity_tax_id", self.known),
            "user_id": identifier(cells, "user_id"),
            "type": one_of(TYPES, cells, "type"),
            "occurred_at": moment(cells, "occurred_at"),
            "ip": ip(cells, "ip"),
            "device": cells["device"],
        }

    def store(self, values: dict[str, Any]) -> None:
        """Store the event, once per row of the file."""
        self.database.execute(self.insert, values)


if __name__ == "__main__":
    main(UserEvents)
