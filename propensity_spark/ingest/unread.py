"""What Spark says of files and tables that it cannot read, as a line for their owner."""

import gzip
import re
import zlib

from propensity_spark.errors import PropensityError, SourceError

_DAMAGE = ("EOFException", "ZipException", "not in GZIP", "not a gzip file", "incorrect header check", "is not a Parquet file")
_CONVERTED = re.compile(r"column cannot be converted in file (\S+)\. Column: \[(.+?)\], Expected: (.+?), Found: (\w+)")
_CHARSET = re.compile(r"(?:UnsupportedEncoding|UnsupportedCharset|IllegalCharsetName)Exception: ([^\n,;]+)")
_REMEDIES = {  # by the name of Spark's error
    "PATH_NOT_FOUND": "correct the path",
    "TABLE_OR_VIEW_NOT_FOUND": "correct table; it is looked for in the catalog of the session",
    "SCHEMA_NOT_FOUND": "correct table; it is looked for in the catalog of the session",
    "DELTA_MISSING_DELTA_TABLE": "correct the path: the folder that holds _delta_log is meant",
    "DELTA_TABLE_NOT_FOUND": "correct the path: the folder that holds _delta_log is meant",
    "UNABLE_TO_INFER_SCHEMA": "it holds no file of this format",
    "COLUMN_ALREADY_EXISTS": "two names differ by capital letters alone; rename one where the files are written",
}
_NAMED = re.compile(rf"\[({'|'.join(_REMEDIES)})[.\w]*\]\s*(.*)")
_ADDRESS = re.compile(
    r"(?:UnsupportedFileSystemException|NoAuthWithAWSException|AccessDeniedException|UnknownHostException"
    r"|ClassNotFoundException: Class org\.apache\.hadoop\.fs)[^\n]*"
)


def readable(problem: Exception, where: str) -> Exception:
    """What Spark says where it looks at what the setting `where` names, as one line; what nobody can mend there as it is."""
    known, text = damaged(problem, where), str(problem)
    if known is not problem or isinstance(problem, PropensityError):
        return known
    if named := _NAMED.search(text):
        return SourceError(f"{where}: {named[2].rstrip('. ')}; {_REMEDIES[named[1]]}. Nothing was changed.")
    if failed := _ADDRESS.search(text):
        return SourceError(f"{where}: its address cannot be reached: {failed[0].strip()}. Nothing was changed.")
    return problem


def damaged(problem: Exception, where: str) -> Exception:
    """The same of rows that are read as they are written: what files hold, and not whether anything is there."""
    if isinstance(problem, PropensityError):
        return problem
    text = "not in GZIP" if isinstance(problem, EOFError | zlib.error | gzip.BadGzipFile) else str(problem)
    if sign := next((sign for sign in _DAMAGE if sign in text), ""):
        return SourceError(f"{where}: a file is damaged ({sign}); fetch it again. Nothing was changed.")
    if named := _CHARSET.search(f"{text}\n{getattr(problem, 'stackTrace', '')}"):  # some say the name alone
        return SourceError(f"{where}: Spark has no encoding {named[1].strip()}; save the files as UTF-8. Nothing was changed.")
    if "TIMESTAMP(NANOS" in text:
        remedy = 'write them in microseconds (pandas: to_parquet(..., coerce_timestamps="us", allow_truncated_timestamps=True))'
        return SourceError(f"{where}: a Parquet file holds times in nanoseconds, which Spark reads from local files only; {remedy}")
    if told := _CONVERTED.search(text):
        file, column, expected, got = told.groups()
        return SourceError(f"{where}: column {column} of {file} is {got}, of another file {expected}; write all files in one type")
    return problem
