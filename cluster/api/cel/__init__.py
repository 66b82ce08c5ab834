"""``x-kubernetes-validations``: rules in CEL, the Common Expression Language.

Its parts, from text to result: `parsing` (with `lexing` and `macros`) makes a tree of `nodes`,
`checking` gives every node a type, `costs` says what it can cost at most, `interpreting` makes a
function of it; `engine` does all of that. `library` has what expressions may call, `declarations`
says how that is declared. Rules of custom resources: `declared` and `values` show an object to them
as its schema says, `rules` checks a definition's, `evaluation` holds an object against them. All of
it is imported with the first rule, not before.
"""
