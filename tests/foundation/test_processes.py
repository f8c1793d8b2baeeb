from tumor_ratio.processes import available_cores, own_threads, thread_pool


def test_a_process_uses_the_cores_it_was_told(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert own_threads() == available_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert own_threads() == 1


def test_a_thread_of_many_starts_no_further_ones(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with thread_pool(3) as pool:
        assert list(pool.map(lambda _: own_threads(), range(6))) == [1] * 6
    assert own_threads() == available_cores()
