"""All words of the shipped tasks, for tokenizers that are made for a rehearsal."""

import itertools

from mechcheck.tasks.names import load_language
from mechcheck.tasks.year_spans import NOUNS


def words() -> set[str]:
    """All words of the tasks."""
    language = load_language()
    listed = (language.names, language.places, language.objects, language.travel, language.nouns_singular, language.nouns_plural)
    templates = (language.prefixes, language.openings, language.openings_held_out, language.givings, language.givings_held_out)
    others = (language.two_people, language.one_person, language.adjectives)
    found = {*itertools.chain(*listed), *itertools.chain(*itertools.chain(*templates, *others))}
    found |= {"himself", "herself", "hurt", "blamed", "praised", "The", "lasted", "from", "the", "year", "to", *NOUNS}
    return {word for word in found if not word.startswith("{")}
