"""Reading a CSV file: records, their lines, and files that abort the job."""

import pytest

import batchstatus
from tests.unit.examples.modules import COMPANY, PERSON, records


def read(tmp_path, content, columns=("a", "b")):
    path = tmp_path / "november.csv"
    path.write_bytes(content)
    with records.open_csv(path) as file:
        return list(records.read(file, columns))


def test_a_record_has_the_line_where_it_starts(tmp_path):
    found = read(tmp_path, b'a,b\n1,"x\ny\nz"\n\n\n2,"p\r\nq"\r\n3,\n')
    assert [(row.number, row.line, row.cells["a"]) for row in found] == [(1, 2, "1"), (2, 7, "2"), (3, 9, "3")]


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n")[0].cells == {"a": "1", "b": "2"}


def test_a_row_of_another_length_does_not_fit(tmp_path):
    assert [row.fits for row in read(tmp_path, b"a,b\n1\n1,2\n1,2,3\n")] == [False, True, False]


@pytest.mark.parametrize(
    ("content", "wanted", "message"),
    [
        (b"", "INVALID_HEADER", "november.csv lacks a, b"),
        (b"a,c\n1,2\n", "INVALID_HEADER", "november.csv lacks b"),
        (b'a,b\n1,"2\n3,4\n', "UNREADABLE_FILE", "unexpected end of data"),
        (b"a,b\n1,\xff\n", "UNREADABLE_FILE", "can't decode"),
    ],
    ids=["an empty file", "a missing column", "a quote left open", "another encoding"],
)
def test_an_unusable_file_aborts_the_job(tmp_path, content, wanted, message):
    with pytest.raises(batchstatus.JobAborted, match=message) as raised:
        read(tmp_path, content)
    assert raised.value.code == wanted


def test_known_entities_are_the_well_formed_tax_ids(tmp_path):
    path = tmp_path / "entities.csv"
    path.write_text(f"name,tax_id\nAnna, {PERSON}\nBad,123\nNone,\nLiam,{COMPANY}\n")
    assert records.known_entities(path) == {PERSON, COMPANY}
