"""JSON texts as clients may write them, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

_SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])

_STRINGS = st.lists(
    st.one_of(
        st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=0x20),
        st.sampled_from(
            ["\\n", '\\"', "\\\\", "\\/", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\uDFFF", "u"]
        ),
    ),
    max_size=8,
).map(lambda parts: '"' + "".join(parts) + '"')

_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    fullmatch=True,
    alphabet=st.characters(codec="ascii"),
)

_SCALARS = st.one_of(st.sampled_from(["true", "false", "0", '""']), _STRINGS, _NUMBERS)


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda space, members: f"[{space}{f'{space},'.join(members)}]",
        _SPACE,
        st.lists(values, max_size=4),
    )


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # Names repeat, as JSON allows.
    return st.builds(
        lambda space, members: (
            "{"
            + space
            + f"{space},".join(f"{name}{space}:{value}" for name, value in members)
            + "}"
        ),
        _SPACE,
        st.lists(st.tuples(st.one_of(st.just('"a"'), _STRINGS), values), max_size=4),
    )


# Any JSON text but `null`, without space around it.
JSON_TEXTS = st.recursive(
    _SCALARS, lambda values: st.one_of(_arrays(values), _objects(values)), max_leaves=10
).map(str.encode)
