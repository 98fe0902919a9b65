"""Which rows of the zone lookup and of TLC's report can be understood, and which are refused."""

from pathlib import Path

import pytest

from ingestion.errors import SHOWN_CHARACTERS, UntrustedFileError
from ingestion.formats.validate import check
from ingestion.sources.tlc.datasets import DATASETS
from ingestion.sources.tlc.validate import REPORT_COLUMNS
from tests.support.trips import ZONES

REPORT = ",".join(REPORT_COLUMNS) + "\n"
GREEN = '2024-01,Green,"1,824","37,028",829,797,424,16.5,3.5,16.1,3.4,15.0,75%,-\n'
YELLOW = "2024-01,Yellow,94742,2219025,11838,8795,7222,20.1,8.3,15.5,7.1,16.0,80%,NULL\n"


def rows_of(tmp_path: Path, dataset: str, content: bytes) -> int:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    return check(path, DATASETS[dataset], None).row_count


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(GREEN, id="word-for-word-again"),
        pytest.param("," * 13 + "\r\n", id="blank"),
        pytest.param(" ,\t,\u00a0" + "," * 11 + "\n", id="of-blanks"),
        pytest.param(GREEN.replace("2024-01,Green", "2024-02,GREEN "), id="class-in-capitals"),
        pytest.param(
            GREEN.replace("2024-01", "2024-02").replace("1,824", "1\u00a0824 "), id="no-break-space"
        ),
        pytest.param("2023-12,Green" + "," * 12 + "\n", id="no-figures"),
        pytest.param(GREEN.replace("2024-01,Green", "2024-01,FHV - Robotaxi"), id="new-class"),
        pytest.param(GREEN.replace("2024-01", "2024-02").replace("75%", "100%"), id="all-by-card"),
    ],
)
def test_a_row_of_the_report_that_is_understood(row: str, tmp_path: Path) -> None:
    content = (REPORT + GREEN + YELLOW + row).encode()
    assert rows_of(tmp_path, "tlc_monthly_report", content) == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (GREEN.replace("2024-01", "Jan-24"), "Month/Year is no month as 2024-01: 'Jan-24'"),
        (GREEN.replace("2024-01", "2024-13"), "Month/Year is no month as 2024-01: '2024-13'"),
        (GREEN.replace("2024-01", "2924-01"), "Month/Year is no month as 2024-01: '2924-01'"),
        (GREEN.replace("2024-01", "1024-01"), "Month/Year is no month as 2024-01: '1024-01'"),
        (GREEN.replace("2024-01", "Total"), "Month/Year is no month as 2024-01: 'Total'"),
        (GREEN.replace("2024-01", ""), "Month/Year is no month as 2024-01: ''"),
        (GREEN.replace("Green", " "), "License Class is blank: ' '"),
        (GREEN.replace("1,824", "about 1,800"), "Trips Per Day is no number: 'about 1,800'"),
        (GREEN.replace("1,824", "1.824,5"), "Trips Per Day is no number: '1.824,5'"),
        (GREEN.replace("1,824", "1,5"), "Trips Per Day is no number: '1,5'"),
        (GREEN.replace("1,824", "1,8245"), "Trips Per Day is no number: '1,8245'"),
        (GREEN.replace("829", "-829"), "Unique Drivers is no number: '-829'"),
        (GREEN.replace("75%", "#DIV/0!"), "Paid with Credit Card is no number: '#DIV/0!'"),
        (GREEN.replace("75%", "700%"), "Paid with Credit Card is more than 100 %: '700%'"),
        (GREEN.replace("75%", "100.1\u00a0%"), "is more than 100 %: '100.1\\xa0%'"),
        (GREEN.replace("1,824", "1,825"), "License Class has other figures for 2024-01 on line 2"),
        (GREEN.replace("Green", "green "), "License Class has other figures for 2024-01 on line 2"),
    ],
)
def test_a_row_of_the_report_that_is_not(row: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError) as fault:
        rows_of(tmp_path, "tlc_monthly_report", (REPORT + GREEN + YELLOW + row).encode())
    assert str(fault.value).startswith("line 4: ")
    assert reason in str(fault.value)


def test_a_report_of_blank_rows_is_none(tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError, match="no rows"):
        rows_of(tmp_path, "tlc_monthly_report", (REPORT + "," * 13 + "\n").encode())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"Total","","",""\r\n', "LocationID is no number of a zone: 'Total'"),
        (b",,,\r\n", "LocationID is no number of a zone: ''"),
        (b"99999999999,x,y,z\r\n", "LocationID is no number of a zone: '99999999999'"),
        (
            b"9" * 5000 + b",x,y,z\r\n",
            f"LocationID is no number of a zone: '{'9' * SHOWN_CHARACTERS}'",
        ),
        (b"2.0,x,y,z\r\n", "LocationID is no number of a zone: '2.0'"),
        (b"-1,x,y,z\r\n", "LocationID is no number of a zone: '-1'"),
        (b"0,x,y,z\r\n", "LocationID is no number of a zone: '0'"),
        ("²,x,y,z\r\n".encode(), "LocationID is no number of a zone: '²'"),
        (b'2,"Queens","Jamaica Bay","Boro Zone"\r\n', "LocationID stands on line 3 too: '2'"),
        (b'02,"Queens","Jamaica","Boro Zone"\r\n', "LocationID stands on line 3 too: '02'"),
    ],
)
def test_a_zone_that_has_no_number_of_its_own(row: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError) as fault:
        rows_of(tmp_path, "taxi_zone_lookup", ZONES + row)
    assert str(fault.value) == f"line 6: {reason}"
