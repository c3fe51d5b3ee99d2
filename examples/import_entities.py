"""Import entities: persons and companies. An entity that exists already is skipped, not failed."""

from typing import Any

from fields import TAX_ID_PREFIXES, Cells, Rejected, Skipped, country, day, identifier, one_of, tax_id, text
from importing import Importer, main
from records import Record


class Entities(Importer):
    """Imports entities, one per row."""

    columns = ("external_id", "tax_id", "type", "name", "country", "onboarded_on")
    table = """
        CREATE TABLE IF NOT EXISTS entities (
            tax_id TEXT PRIMARY KEY, external_id TEXT UNIQUE, type TEXT, name TEXT, country TEXT,
            onboarded_on TEXT, job_id TEXT, row_number INTEGER)"""
    # The no-op update reports a changed row only if the existing row is this job's own earlier write of this row.
    insert = """
        INSERT INTO entities VALUES (:tax_id, :external_id, :type, :name, :country, :onboarded_on, :job_id,
            :row_number)
        ON CONFLICT DO UPDATE SET row_number = row_number
            WHERE job_id = excluded.job_id AND row_number = excluded.row_number"""
    # Ignores later rows of this job: after a crash they may exist already, but they did not at the first attempt.
    namesake = """
        SELECT job_id FROM entities
        WHERE tax_id = :tax_id AND (job_id <> :job_id OR row_number < :row_number)"""

    def name(self, record: Record) -> dict[str, str]:
        """Returns tax id and type as they stand in the file."""
        return {"taxId": record.cells["tax_id"], "type": record.cells["type"]}

    def validate(self, cells: Cells) -> dict[str, Any]:
        """Validate every cell, and the tax id against the type."""
        values = {
            "tax_id": tax_id(cells, "tax_id"),
            "type": one_of(TAX_ID_PREFIXES, cells, "type"),
            "external_id": identifier(cells, "external_id"),
            "name": text(cells, "name"),
            "country": country(cells, "country"),
            "onboarded_on": day(cells, "onboarded_on"),
        }
        if not values["tax_id"].startswith(TAX_ID_PREFIXES[values["type"]]):
            raise Rejected("TAX_ID_TYPE_MISMATCH", f"this is not the tax id of a {values['type']}")
        return values

    def store(self, values: dict[str, Any]) -> None:
        """Store the entity, once per tax id: the first row with a tax id wins."""
        if self.database.execute(self.insert, values).rowcount:
            return
        namesake = self.database.execute(self.namesake, values).fetchone()
        if namesake is None:
            raise Rejected("DUPLICATE_EXTERNAL_ID", f"another entity has the id {values['external_id']}")
        if namesake == (self.job_id,):
            raise Skipped("SKIPPED_DUPLICATE_TAX_ID", "an earlier row of the file has this tax id")
        raise Skipped("SKIPPED_ENTITY_ALREADY_EXISTS", "an earlier import brought this entity")


if __name__ == "__main__":
    main(Entities)
