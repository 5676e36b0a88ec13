.PHONY: help check test docs bench fuzz storm crash container demo clean

help:
	@./run --help

check:
	./run check

test:
	./run tests

docs:
	./run docs

bench:
	./run bench

fuzz:
	./run fuzz

storm:
	./run storm

crash:
	./run crash

container:
	./run container

demo:
	./run

clean:
	rm -rf .venv .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist
