"""Whatever is done to a lakehouse, in any order, no partition is called safe that is not: a state machine beside a model.

`model` says what must be so and shares no code with the product; `lake` does the steps, with the product; `machine` puts
them in an order; `planted` breaks the product, to show that the machine sees it.
"""
