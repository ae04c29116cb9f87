"""Load on servers, as cheap as Python allows, so that it never becomes what is measured."""
