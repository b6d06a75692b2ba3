"""Tables of ratings: the layouts that are read, and the table of what is refused, each with what the message says."""

from pathlib import Path

import numpy as np
import pytest

from distbp.data.ratings import read_ratings
from distbp.data.sources import fetch
from distbp.errors import RequestError
from tests.data.bad_table import is_refused

RECBOLE = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\tx\t3\t20\n5\ty\t4.5\t10\n7\ty\t1e0\t-3\n"
LAYOUTS = {
    "recbole": RECBOLE,
    "windows": RECBOLE.replace("\n", "\r\n"),
    "no last newline": RECBOLE.rstrip(),
    "byte order mark": "\ufeff" + RECBOLE,
    "ratings.csv": "userId,movieId,rating,timestamp\n7,x,3,20\n5,y,4.5,10\n7,y,1,-3\n",
    "other order": "genre,rating,timestamp,item,user\na,3,20,x,7\nb,4.5,10,y,5\n,1,-3,y,7\n",
}
HEAD = "user_id\titem_id\trating\n"
BAD = {
    "empty": ("", "an empty file; a header with user_id"),
    "blank": ("\n", "row 1: no column user_id or userId or user"),
    "byte order mark alone": ("\ufeff", "row 1: no column user_id or userId or user"),
    "byte order mark later": (HEAD + "1\t2\t\ufeff3\n", "row 2: rating '\\ufeff3'"),
    "header only": (HEAD, "a header and no rows"),
    "no header": ("7,3,4,10\n", "row 1: no column user_id"),
    "missing column": ("user_id\trating\n1\t2\n", "row 1: no column item_id or itemId or movieId or item;"),
    "column twice": ("user_id\titem_id\trating\trating\n1\t2\t3\t3\n", "row 1: more than one column 'rating'"),
    "two users": ("user_id\tuserId\titem\trating\n1\t1\t2\t3\n", "row 1: user_id and userId: one column of a user"),
    "short row": (HEAD + "1\t2\t3\n1\t3\n", "row 3: 2 columns, 3 are expected"),
    "long row": (HEAD + "1\t2\t3\t4\n", "row 2: 4 columns, 3 are expected"),
    "blank row": (HEAD + "1\t2\t3\n\n1\t3\t3\n", "row 3: 1 columns"),
    "no number": (HEAD + "1\t2\tgood\n", "row 2: rating 'good', a finite number is expected"),
    "nan": (HEAD + "1\t2\tnan\n", "row 2: rating 'nan'"),
    "infinite": (HEAD + "1\t2\t1e999\n", "row 2: rating '1e999'"),
    "infinite in float32": (HEAD + "1\t2\t-1e39\n", "row 2: rating '-1e39', a finite number is expected, at most"),
    "infinite time": ("user,item,rating,timestamp\n1,2,3,1e309\n", "row 2: timestamp '1e309', a finite number is"),
    "underscore": (HEAD + "1\t2\t1_0\n", "row 2: rating '1_0'"),
    "foreign digits": (HEAD + "1\t2\t\u0663\n", "row 2: rating '\\u0663'"),
    "empty rating": (HEAD + "1\t2\t\n", "row 2: rating ''"),
    "bad time": ("user,item,rating,timestamp\n1,2,3,noon\n", "row 2: timestamp 'noon'"),
    "no user": (HEAD + "\t2\t3\n", "row 2: no user"),
    "no item": (HEAD + "1\t \t3\n", "row 2: no item"),
    "rated twice": (HEAD + "1\t2\t3\n2\t2\t3\n1\t2\t4\n", "row 4: the user and the item of row 2 again"),
    "u.data rated twice": ("1\t2\t3\t9\n1\t2\t3\t8\n", "row 2: the user and the item of row 1 again"),
    "latin-1": ((HEAD + "1\tcaf\u00e9\t3\n").encode("latin-1"), "row 2: no text in UTF-8"),
    "pickle": (b"\x80\x04\x95\x0b", "row 1: no text in UTF-8"),
    "one line": ("x" * 10_000, "row 1: longer than 4,096 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_table_is_read_as_it_is(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "ratings"
    path.write_bytes(LAYOUTS[layout].encode())
    ratings = read_ratings(path)
    assert ratings.users.tolist() == [0, 1, 0]
    assert ratings.items.tolist() == [0, 1, 1]
    assert ratings.values.tolist() == [3, 4.5, 1]
    assert ratings.times is not None
    assert ratings.times.tolist() == [20, 10, -3]
    assert (ratings.user_ids, ratings.item_ids) == (["7", "5"], ["x", "y"])


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_u_data_has_no_header(tmp_path: Path, mark: str) -> None:
    (tmp_path / "u.data").write_text(mark + "196\t242\t3\t881250949\n186\t302\t2\t891717742\n", encoding="utf-8")
    ratings = read_ratings(tmp_path / "u.data")
    assert ratings.user_ids == ["196", "186"]
    assert ratings.values.tolist() == [3, 2]


def test_a_rating_may_be_as_large_as_float32_holds_and_a_time_larger(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("user,item,rating,timestamp\n1,2,3.4028234e38,1e39\n")
    ratings = read_ratings(tmp_path / "table")
    assert np.isfinite(ratings.values).all()
    assert ratings.times is not None
    assert ratings.times.tolist() == [1e39]


def test_a_table_need_not_tell_the_time(tmp_path: Path) -> None:
    (tmp_path / "table").write_text(HEAD + "1\t2\t3\n")
    assert read_ratings(tmp_path / "table").times is None


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    is_refused(read_ratings, tmp_path / "bad", *BAD[name])


@pytest.mark.parametrize(("path", "message"), [("missing", "no such file"), (".", "not a directory"), ("~x/y", "home")])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_ratings(path if path.startswith("~") else tmp_path / path)


def test_the_real_ratings_arrive(tmp_path: Path) -> None:
    ratings = read_ratings(fetch("movielens", tmp_path, print))
    assert (len(ratings.values), len(ratings.user_ids), len(ratings.item_ids)) == (100_000, 943, 1_682)
    assert np.bincount(ratings.values.astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]
