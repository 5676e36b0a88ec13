.PHONY: help check test bench demo clean

help:
	@./run --help

check:
	./run check

test:
	./run tests

bench:
	./run bench

demo:
	./run

clean:
	rm -rf .venv .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist
