import numbered

from ddpm_jax.training import checkpoints, retention


def test_the_newest_stay_and_the_best_besides(tmp_path):
    with checkpoints.saver(tmp_path, keep=2) as save:
        for step, loss in [(1, 5.0), (2, 1.0), (3, 3.0), (4, 2.0), (5, None)]:
            save(numbered.state_at(step), validation_loss=loss)
    assert retention.steps(tmp_path) == [2, 4, 5]
    assert retention.best_step(tmp_path) == 2
    with checkpoints.saver(tmp_path, keep=2) as save:
        save(numbered.state_at(6), validation_loss=0.5)
    assert retention.steps(tmp_path) == [5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "6"]


def test_without_a_validation_loss_there_is_no_best(tmp_path):
    assert retention.best_step(tmp_path) is None
    numbered.save_steps(tmp_path, 1, 2)
    assert retention.best_step(tmp_path) is None


def test_the_first_of_two_equals_is_the_best(tmp_path):
    numbered.save_steps(tmp_path, 1, 2, loss_1=0.5, loss_2=0.5)
    assert retention.best_step(tmp_path) == 1


def test_a_ladder_is_kept_whether_a_run_was_interrupted_or_not(tmp_path):
    for name, parts in (("whole", [(1, 8)]), ("resumed", [(1, 3), (3, 4), (4, 8)])):
        for first, end in parts:
            with checkpoints.saver(tmp_path / name, keep=1, keep_every=3) as save:
                for step in range(first, end):
                    save(numbered.state_at(step))
        assert retention.steps(tmp_path / name) == [3, 6, 7]


def test_a_checkpoint_of_an_interruption_takes_the_place_of_none(tmp_path):
    """An uninterrupted run would have kept 750, which its samples may need."""
    for first, end in ((250, 750), (800, 800), (1000, 1000)):
        with checkpoints.saver(tmp_path, keep=2, save_every=250) as save:
            for step in range(first, end + 1, 250):
                save(numbered.state_at(step))
        if end == 800:
            assert retention.steps(tmp_path) == [750, 800]
    assert retention.steps(tmp_path) == [750, 1000]
