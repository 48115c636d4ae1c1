"""Replace xlwings, which LibreOffice's Python does not have; its decorators do nothing outside Excel."""


def func(function, **settings):
    return function


def arg(name, **settings):
    return lambda function: function
