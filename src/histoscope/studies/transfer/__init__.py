"""The study of transfer: patches classified from several beginnings, few and many groups, two splits.

A run is one beginning x one size of the training part x one seed, trained and tested under each split. What
several runs begin from is made once, in ``pretrained/``.
"""
