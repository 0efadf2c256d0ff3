"""How Java, which reads the rows, calls the encodings that Python, which reads the heads of files, knows."""

import codecs

# by Python's name, where Java has it not, or means another by it (its cp932 is IBM's, not Microsoft's)
_IN_JAVA = {
    "utf-8-sig": "utf-8",
    "cp874": "x-windows-874",
    "cp932": "windows-31j",
    "cp949": "x-windows-949",
    "cp950": "x-windows-950",
    "iso2022_jp": "ISO-2022-JP",
    "iso2022_kr": "ISO-2022-KR",
    "mac-arabic": "x-MacArabic",
    "mac-croatian": "x-MacCroatian",
    "mac-cyrillic": "x-MacCyrillic",
    "mac-greek": "x-MacGreek",
    "mac-iceland": "x-MacIceland",
    "mac-latin2": "x-MacCentralEurope",
    "mac-roman": "x-MacRoman",
    "mac-romanian": "x-MacRomania",
    "mac-turkish": "x-MacTurkish",
}


def in_java(encoding: str) -> str:
    """The name by which Java reads what Python reads under `encoding`, however it is spelt; what Python knows not as it is."""
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        return encoding
    return _IN_JAVA.get(known, known)
