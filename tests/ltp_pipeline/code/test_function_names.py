"""Names of functions, as their heads write them."""

import time

import pytest

from ltp_pipeline.code.function_names import LONGEST_NAME, function_name
from ltp_pipeline.code.languages import LANGUAGES

C = {
    "static int *foo(void) {": "foo",
    "int f(std::function<void()> a = [](){}) {": "f",
    "int /* { */ f(int a) {": "f",
    # pointers to functions, arrays and parentheses
    "void (*signal(int sig, void (*func)(int)))(int) {": "signal",
    "Foo (*bar(int a))(char) {": "bar",
    "int (*f(int a))[3] {": "f",
    "int (f)(int a) {": "f",
    # old style
    "f(a, b) int a; char *b; {": "f",
    "int\nf (x)\n  int (*x)();\n{": "f",
    # macros around a name
    "MACRO(int) foo(void) {": "foo",
    "static MACRO(int) foo(void) {": "foo",
    "int foo(void) MACRO(x) {": "foo",
    "static void FORMAT(PRINTF, 2, 0) foo(const char *a) {": "foo",
    "void DISPATCH(foo)(char **args, int n) {": "DISPATCH(foo)",
    "static inline void GENERIC_COPY(char *a, char *b) {": "GENERIC_COPY",
    "int foo(void) __acquires(x) {": "foo",
    "Foo(int a) NOEXCEPT(true) {": "Foo",
    "PyMODINIT_FUNC PyInit_x(void) {": "PyInit_x",
    "STDMETHODIMP_(ULONG) CFoo::AddRef() {": "CFoo::AddRef",
    "int WINAPI WinMain(HINSTANCE h) {": "WinMain",
    "int f NO_PARAMETERS {": "f",
    # a macro instead of a head
    "TEST_F(Suite,\n   Case)\n{": "TEST_F(Suite, Case)",
    "SYSCALL_DEFINE3(open, const char *, name) {": "SYSCALL_DEFINE3(open, const char *, name)",
    "DEFUN (foo, bar, 1) (int a) {": "DEFUN (foo, bar, 1)",
    # attributes
    "[[nodiscard]] int f() {": "f",
    "static inline __attribute__((always_inline)) int f(int a) __attribute__((x)) {": "f",
    # classes, templates, operators
    "Foo::Foo(int a) : x(a), y{1} {": "Foo::Foo",
    "FOO(int a) : b(a) {": "FOO",
    "Foo::~Foo() {": "Foo::~Foo",
    "void ::ns::f() {": "ns::f",
    "void A :: f ( int x ) {": "A::f",
    "A<B<int>>::A() {": "A<B<int>>::A",
    "void f<int>(int a) {": "f<int>",
    "const std::map<int, A<B>> &A::g(int) const noexcept(true) {": "A::g",
    "std::enable_if_t<(N > 1), int> f() {": "f",
    "auto f() -> decltype(x(y)) {": "f",
    "int f() requires (sizeof(T) > 1) {": "f",
    "A::operator()(int x) const {": "A::operator()",
    "bool A<int>::operator()() const {": "A<int>::operator()",
    "void *operator new[](size_t n) {": "operator new[]",
    "A::operator std::string() const {": "A::operator std::string",
    "std::ostream &operator<<(std::ostream &o, A a) {": "operator<<",
    'int operator "" _x(unsigned long long a) {': 'operator "" _x',
    "{": "",
    "": "",
}
PYTHON = {"def g(a):": "g", "async def  f(a):": "f", "def \\\n h(a):": "h", "def f[T](a: T) -> T:": "f"}
POWERSHELL = {
    "function Get-Item {": "Get-Item",
    "FUNCTION\n global:Foo-Bar($a) {": "global:Foo-Bar",
    "filter x{": "x",
    "static [Dictionary[string,int]] M() {": "M",
    "Foo() {": "Foo",
    "[A(1, 'x')] [Dictionary[string[],List[int]]]\n hidden [int[]] Foo() {": "Foo",
    "[A()] # why\nFoo() {": "",
}
CASES = [
    (name, *case)
    for name, cases in (("cpp", C), ("python", PYTHON), ("powershell", POWERSHELL))
    for case in cases.items()
]


@pytest.mark.parametrize("language, head, name", CASES, ids=str)
def test_names(language, head, name):
    assert function_name(head, LANGUAGES[language]) == name


@pytest.mark.parametrize(
    "unit", ["(", "<", "a<", "a(", "::", "a::", "*", "operator", "[", "~", "M(x) ", "[a] ", "[a[b] "]
)
def test_linear_time_and_a_short_name(unit):
    begin = time.process_time()
    for language in LANGUAGES.values():
        assert len(function_name(f"{unit * 100_000} {{", language)) <= LONGEST_NAME
    assert time.process_time() - begin < 1
