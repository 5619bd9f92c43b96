from trading.model.identifiers import ID_HEX_LEN, derived_id, order_id, trajectory_id


def test_the_same_parts_give_the_same_id_and_moved_letters_another() -> None:
    assert derived_id("x", "ab", "c") == derived_id("x", "ab", "c")
    assert derived_id("x", "ab", "c") != derived_id("x", "a", "bc")
    assert derived_id("x", "ab") != derived_id("y", "ab")
    assert derived_id("x", 7) == derived_id("x", "7")


def test_ids_are_the_same_on_every_machine_and_in_every_process() -> None:
    assert order_id("run", "trj", 1, 0) == "ord_07d9d9e28e41894d54935df5"
    assert trajectory_id("run", "momentum_breakout", "BONK", 1).startswith("trj_")
    assert len(trajectory_id("run", "s", "m", 1)) == 4 + ID_HEX_LEN


def test_two_orders_of_one_trajectory_at_one_time_have_different_ids() -> None:
    assert order_id("run", "trj", 1, 0) != order_id("run", "trj", 1, 1)


def test_a_name_that_is_not_valid_unicode_still_has_an_id() -> None:
    assert derived_id("x", "\udcff").startswith("x_")
