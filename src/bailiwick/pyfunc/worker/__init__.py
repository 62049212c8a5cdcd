"""The program of a process that a model is loaded in: files that run where the model's libraries are and Bailiwick is not.

They are copied to where the process may read them, as a package of another name, and import nothing of ours.
"""
