"""Assessments of scenarios by a language model or a person: typed, dated, weighed by how good past ones were."""
