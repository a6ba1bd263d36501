from .drawn import (
    ioi_in_every_sentence as ioi_in_every_sentence,
)
from .drawn import (
    ioi_people as ioi_people,
)
from .drawn import (
    ioi_sentences as ioi_sentences,
)
from .drawn import (
    prompts_from as prompts_from,
)
from .drawn import (
    sentences as sentences,
)
from .drawn import (
    sites as sites,
)
