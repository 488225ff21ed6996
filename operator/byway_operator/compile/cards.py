"""What `GET /models` says of each model that somebody may call by its public name."""

from collections.abc import Iterable, Iterator

from byway_contract.table import Endpoint, Model

from byway_operator.compile.accounts import DraftAccount
from byway_operator.compile.catalogue.catalogue import Card, Catalogue
from byway_operator.resources.manifest import Key


def cards(accounts: Iterable[DraftAccount], catalogue: Catalogue) -> Iterator[tuple[str, Model, tuple[Key, ...]]]:
    """Public name, card, and the ProviderKeys that make the model callable.

    Accounts come in the order of their keys: the first to name an unlisted model describes it.
    """
    offered: dict[str, list[tuple[Key, Endpoint]]] = {}
    for account in accounts:
        for name, endpoint in account.models.items():
            offered.setdefault(name, []).append((account.key, endpoint))
    for name, found in offered.items():
        card = catalogue.cards.get(name)
        model = _listed(card) if card is not None else _unlisted(name, found[0][1])
        yield name, model, tuple(key for key, _ in found)


def _listed(card: Card) -> Model:
    return Model(
        name=card.name,
        created=card.created,
        context_length=card.context_length,
        max_output_tokens=card.max_output_tokens,
        input_modalities=card.input_modalities,
        output_modalities=card.output_modalities,
        features=card.features,
        knowledge_cutoff=card.knowledge_cutoff,
        open_weights=card.open_weights,
    )


def _unlisted(name: str, endpoint: Endpoint) -> Model:
    return Model(
        name=name,
        context_length=endpoint.context_length,
        max_output_tokens=endpoint.max_output_tokens,
        input_modalities=endpoint.input_modalities,
        output_modalities=endpoint.output_modalities,
        features=endpoint.features,
    )
