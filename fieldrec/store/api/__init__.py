"""Behind imgstore's interface (fieldrec.store.stores): the store objects that scripts hold."""
