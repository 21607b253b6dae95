"""Which words say what a label is."""

import time

import pytest

from ltp_pipeline.code.telling_names import telling_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("badSink(data)", {"bad"}),
        ("void CWE121_Stack__char_alloca_01_bad()", {"CWE", "bad"}),
        ("goodG2B1Static", {"good"}),
        ("isBad; dataGoodBuffer; BAD_OS_COMMAND; x_CWE", {"bad", "good", "CWE"}),
        ("/* POTENTIAL FLAW: */ // FIX" + "ME", {"flaw"}),  # in two parts: this is no mark of open work
        ("// fixes CVE-2014-0160, a Vulnerability", {"fix", "CVE", "vulnerable"}),
        ("#ifdef PATCHED_1", {"patch"}),
        ('print("Benign, fixed string")', {"benign", "fix"}),
        ("malicious_pure/12.ps1 testcases/ MalwareSample", {"malicious", "test case"}),
        ("class A(TestCase): test_case; TEST CASE", {"test case"}),
        ("debug prefix badge forbad baddie goodness dispatcher suffix affix bugfixes patchwork", set()),
        ("strcpy(a, b); gets(c); free(d); int cwed;", set()),
        ("Badly ABADE badbit", set()),
        ("", set()),
    ],
)
def test_words(text, words):
    assert telling_words(text) == words


def test_time_is_linear():
    start = time.process_time()
    for text in ("bad" * 300_000, "A" * 1_000_000 + " bad", "bA" * 500_000, "test" * 250_000):
        telling_words(text)
    assert time.process_time() - start < 5
