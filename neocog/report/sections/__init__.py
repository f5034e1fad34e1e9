"""The sections of a page, each a function from what the page is about"""
