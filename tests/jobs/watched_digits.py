"""Which images of the bundled digits are read, by split."""

from ddpm_jax.data import digits


def watch(monkeypatch, *names):
    """Sets of the numbers of the images that are read from then on, for each of the splits."""
    seen = {name: set() for name in names}
    load = digits.load

    def watched(name, split):
        def read(i):
            seen[name].add(int(i))
            return split.images[i]

        return split._replace(read=read, images=None)

    def load_watched(**shares):
        splits = load(**shares)
        return splits._replace(**{name: watched(name, getattr(splits, name)) for name in seen})

    monkeypatch.setattr(digits, "load", load_watched)
    return seen
