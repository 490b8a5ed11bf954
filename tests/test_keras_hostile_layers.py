"""Keras files whose layers are none that can be read are refused in a sentence."""

from __future__ import annotations

import pytest

from keras_spoiling import becomes_code, copier, edited, extracted, of_kind, refused

made = pytest.fixture(scope="module")(extracted)
copy = pytest.fixture(copier)


def is_nested(layers):
    of_kind(layers, "Activation")["class_name"] = "Functional"


def is_foreign(layers):
    of_kind(layers, "Dense")["module"] = "os"


def is_huge(layers):
    of_kind(layers, "Dense")["config"]["units"] = 10**9


def is_wider(layers):
    of_kind(layers, "Dense")["config"]["units"] = 60_000


def activates_by_code(layers):
    of_kind(layers, "Dense")["config"]["activation"] = {"class_name": "function", "config": "f"}


def takes_no_square(layers):
    of_kind(layers, "InputLayer")["config"]["batch_shape"] = [None, 3]


def takes_anything(layers):
    of_kind(layers, "InputLayer")["config"]["batch_shape"] = [None, None]


def is_of_absurd_order(layers):
    of_kind(layers, "InputLayer")["config"]["batch_shape"] = [None, 10**12]


def is_a_ring(layers):
    layers.append(layers.pop(1))


def is_used_twice(layers):
    of_kind(layers, "Dense")["inbound_nodes"] *= 2


def has_one_name_twice(layers):
    layers.append(layers[-1])


def is_a_crowd(layers):
    layers[:] = layers * 1000


def normalises_another_axis(layers):
    of_kind(layers, "BatchNormalization")["config"]["axis"] = 0


def has_a_negative_epsilon(layers):
    of_kind(layers, "BatchNormalization")["config"]["epsilon"] = -1


CONFIGURATIONS = {
    becomes_code: "Lambda.*nothing that holds code",
    is_nested: "Functional",
    is_foreign: "not one of Keras",
    is_huge: "units",
    is_wider: "shape",
    activates_by_code: "activation",
    takes_no_square: "no square matrix",
    takes_anything: "known shape",
    is_of_absurd_order: "order",
    is_a_ring: "not before it",
    is_used_twice: "used 2 times",
    has_one_name_twice: "one name",
    is_a_crowd: "layers, more than",
    normalises_another_axis: "axis",
    has_a_negative_epsilon: "epsilon",
}


@pytest.mark.parametrize("change", CONFIGURATIONS, ids=lambda f: f.__name__)
def test_layers_that_are_refused(copy, change):
    path = copy()
    edited(path, change)
    refused(path, CONFIGURATIONS[change])
