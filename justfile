# The usual commands; `just` lists them. https://just.systems; each line also works by itself.

_list:
    @just --list --unsorted

# install what the project needs, and the hooks that check a commit
setup:
    uv sync
    uv run pre-commit install

# the whole job on generated data
sample *options:
    uv run medallion run --sample {{ options }}

# the whole job on what is published
run *options:
    uv run medallion run {{ options }}

# what is published, landed, loaded and built
status *options:
    uv run medallion status {{ options }}

# the fast tests, or those of the given files
test *files:
    uv run pytest {{ files }}

# every test
test-full:
    uv run pytest --full

# linters, types and rules of import
lint:
    uv run pre-commit run --all-files

# format the code, and fix what can be fixed
format:
    uv run ruff check --fix
    uv run ruff format

# build the marts by dbt alone
dbt *options:
    cd dbt_project && uv run dbt build {{ options }}

# the pages of all models, in dbt_project/target/static_index.html
dbt-docs:
    cd dbt_project && uv run dbt docs generate --static
