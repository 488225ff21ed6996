from byway_operator.quiet import AT_MOST_S, LEAD_S, QUIET_S, Quiet


def test_the_first_change_after_a_quiet_time_is_compiled_at_once() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    assert quiet.due() == 100.0 + LEAD_S


def test_changes_that_follow_are_gathered_until_it_is_quiet() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    quiet.compiled(100.02)
    quiet.changed(100.05)
    quiet.changed(100.09)
    assert quiet.due() == 100.09 + QUIET_S


def test_changes_that_never_end_are_compiled_all_the_same() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    quiet.compiled(100.02)
    for n in range(100):
        quiet.changed(100.1 + n / 50)
    assert quiet.due() == 100.1 + AT_MOST_S


def test_two_hundred_files_saved_at_once_are_few_compiles() -> None:
    quiet, compiles, now = Quiet(), 0, 0.0
    saves = [n * 0.002 for n in range(200)]
    while saves or quiet.due() is not None:
        due = quiet.due()
        if due is None or (saves and saves[0] <= due):
            now = saves.pop(0)
            quiet.changed(now)
        else:
            quiet.compiled(due)
            compiles += 1
    assert compiles <= 4


def test_nothing_changed_is_nothing_due() -> None:
    quiet = Quiet()
    quiet.changed(1.0)
    quiet.compiled(1.02)
    assert quiet.due() is None
