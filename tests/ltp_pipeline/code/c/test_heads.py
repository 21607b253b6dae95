"""What is a function of C or C++ and what is none, by its head."""

import pytest

from ltp_pipeline.code.functions import SourceFile, extract_functions

BODY = "{\n    int k = 0;\n    if (k) { g(); }\n    return 0;\n}"


def sources(text, path="a.cc"):
    return [function.source for function in extract_functions(SourceFile("p", path, text))]


def between(text, path="a.cc"):
    """The functions found in a text that stands between two plain functions, which have to be found as well."""
    found = sources(f"int before() {{ return 0; }}\n{text}\nint after() {{ return 1; }}\n", path)
    assert (found[0], found[-1]) == ("int before() { return 0; }", "int after() { return 1; }")
    return found[1:-1]


@pytest.mark.parametrize(
    "head",
    [
        "SSH_PACKET_CALLBACK(x)\n",
        "static SSH_PACKET_CALLBACK(x)\n",
        "PHP_FUNCTION(x) ",
        "define_function(x)\n",
        "XS(XS_a_b)\n",
        "SYSCALL_DEFINE3(open, const char __user *, name, int, flags, umode_t, mode)\n",
        "TEST_F(A, b)\n",
        'DEFUN ("car", Fcar, Scar, 1, 1, 0,\n  doc: /* x { */)\n  (Lisp_Object list)\n',
        "static int METHOD(args)(int x) ",
        "static PyObject * f FUNCARGS\n",
        "GLOBAL(int) f (j_ptr p, int v)\n",
        "METHODDEF(void)\nf (j_ptr p)\n",
        "BEGIN_HANDLER ",
    ],
)
def test_heads_that_are_calls_of_macros(head):
    assert between(head + BODY, "a.c") == [head + BODY]


@pytest.mark.parametrize(
    "head",
    [
        "EXPORT int f(void) NOEXCEPT_MACRO ",
        "int f(void)\n  MACRO_A(1, 2) MACRO_B\n",
        "API_FUNC(int) f(int a)\n",
        "BOOL WINAPI DllMain(HINSTANCE h) ",
        "JNIEXPORT jint JNICALL Java_a_b(JNIEnv *e, jobject o)\n",
        "void HTS_FORMAT(PRINTF, 2, 3) HTS_NORETURN\nf(args_t *args, const char *format, ...)\n",
        "__attribute__((noreturn)) void f(void) ",
        "static inline __attribute__((always_inline, unused)) int f(void) ",
        "int f(void) __attribute__((x))\n",
        "__declspec(dllexport) int __stdcall f(int a) ",
        "[[nodiscard]] int f() ",
        "void f [[gnu::cold]] (int n) ",
        "LIST_OF(X) *f(int a) ",
        "alignas(8) int f() ",
        "long FAR PASCAL f(HWND a)\n/**** comment ****/\n",
    ],
)
def test_attributes_and_macros_around_a_head(head):
    assert between(head + BODY) == [head + BODY]


@pytest.mark.parametrize(
    "head",
    [
        "int f(a)\n  int a;\n",
        "int f(a, b)\nint a; /* { */\nchar *b[];\n",
        "unsigned f(a) unsigned a; ",
        "void f(cb, data) void (*cb)(int); struct s *data; ",
        "local int f(have, buf)\nunsigned FAR *have;\nunsigned char FAR *buf;\n",
        "main() ",
    ],
)
def test_old_style_heads(head):
    assert between(head + BODY) == [head + BODY]


@pytest.mark.parametrize(
    "head",
    [
        "void (*f(int a))(int)\n",
        "int (f)(int a) ",
        "struct s *f(void)\n",
        "enum e f(int a) ",
        "union u *A::f(int a) const ",
        "auto f() -> std::vector<int> ",
        "int A::f() && noexcept(noexcept(g())) ",
        "bool operator<(A a, A b) ",
        "int A::operator()(int x) ",
        "void *operator new[](size_t n) ",
        'X operator"" _x(int y) ',
        "A::operator bool() const ",
        "A::~A() ",
        "A::A(int x) : a(x), b{x}, c{{1}, 2}, D<int>(x) ",
        "std::array<int, N + 1> f(char const (&)[1]) ",
    ],
)
def test_declarators(head):
    assert between(head + BODY) == [head + BODY]


@pytest.mark.parametrize(
    "before, function",
    [
        ("template <class T, int N = (1 > 0)>\n", "T f(T x) { return x; }"),
        ("template <class T, enable_if<N < 4, int>::type = 0>\n", "auto f(T x)\n{ return x; }"),
        ("template<> ", "int f<int>(int x) { return x; }"),
        ('extern "C" ', "int f(void) { return 1; }"),
        ("DECLARE_TYPE(a, int)\n\n", "static int f(void) { return 1; }"),
        ("DECLARE_A(a)\nDECLARE_B(b)\n", "int f(void) { return 1; }"),
        ("END_DECLARATIONS\n\n", "int f(void) { return 1; }"),
        ("IMPLEMENT_FUNCTIONS(X)\n\n", "LIST_OF(X) *f(int a) { return 0; }"),
        ("#if X\nEXTERN_INLINE\n#endif\n", "int f(void) { return 1; }"),
    ],
)
def test_what_a_function_does_not_begin_with(before, function):
    assert between(before + function) == [function]


def test_try_blocks_of_functions():
    plain = "int f() try {\n    return risky();\n} catch (...) {\n    return 0;\n}"
    constructor = "A::A(int x) try : a(x), b{x} { f(); } catch (E &e) { g(); }\ncatch (...) { h(); }"
    assert between(f"{plain}\n{constructor}") == [plain, constructor]


@pytest.mark.parametrize(
    "text",
    [
        "DEFINE_TABLE(x) { 1, 2 };",
        "TABLE(x) {\n  { 1, f(2) },\n  { 3, 4 },\n};",
        "KEYS(x) { A(1), B(2), }",
        "PACKED_STRUCT(foo) { int a; char *b[2]; };",
        "DECLARE(x)\nstruct s { int a; };",
        "typedef struct { int (*f)(int); } T;",
        "static const struct x y = { .a = f(1), .b = { 2 } };",
        "struct __attribute__((packed)) p { int a; };",
        "#define G(x) \\\n int f(int a) \\\n { return x; }",
        "class EXPORT(1) A : public B<int(int)> { int x{1}; };",
        "enum class E : int { A, B };",
        "auto f = [](int x) { return x; };",
        "int x{f(1)};",
        "std::vector<int> v{1, 2};",
        "template <class T> concept C = requires(T t) { t.x; };",
        "namespace a::b { int x; }",
        "EXTERN_C({)\nint x;\nEXTERN_C(})",
    ],
)
def test_what_is_no_function(text):
    assert between(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "else { g(); }",
        "do { g(); } while (0);",
        "try { g(); } catch (...) { h(); }",
        "if (a) { g(); } else { h(); }",
        "for (;;) { g(); }",
        "switch (x) { case 1: break; }",
        "{ g(); }",
    ],
)
def test_statements_outside_functions_are_none(text):
    assert between(text) == []
