"""No module imports, however late or only for its types, what imports it."""

import grimp


def test_no_module_imports_itself_through_others():
    graph = grimp.build_graph("tumor_ratio", exclude_type_checking_imports=False)
    imported = {
        name: set(graph.find_modules_directly_imported_by(name)) - {name} for name in graph.modules
    }

    while leaves := {name for name, others in imported.items() if not others}:
        imported = {
            name: others - leaves for name, others in imported.items() if name not in leaves
        }

    assert sorted(imported) == [], "what is left imports itself, or what does"
