"""All words of the shipped tasks, for tokenizers that are made for a rehearsal."""

import itertools
import re

from mechcheck.tasks import retrieval, tag_question
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


def retrieval_words() -> set[str]:
    """All words of the task `retrieval`."""
    texts = (*retrieval.SENTENCES, *retrieval.PEOPLE, retrieval.KEPT, retrieval.QUESTION)
    return {*re.findall(r"\w+", " ".join(texts)), *itertools.chain(*retrieval.WORDS.values())}


def tag_question_words() -> set[str]:
    """All words of the task `tag_question`, and the apostrophe of "isn't"."""
    texts = (*itertools.chain(*tag_question.TEMPLATES.values()), tag_question.NAMED, tag_question.NOBODY)
    names = (name for half in tag_question.NAMES.values() for some in half.values() for name in some)
    return {*re.findall(r"\w+", " ".join(texts)), *names, *tag_question.ADJECTIVES, *tag_question.NOUNS, "he", "she", "'"}
