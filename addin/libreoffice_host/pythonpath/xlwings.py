"""Stands in for xlwings, which LibreOffice's Python does not have: outside Excel its decorators do nothing."""


def func(function, **settings):
    return function


def arg(name, **settings):
    return lambda function: function
