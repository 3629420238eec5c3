package main

import (
	"fmt"
	"regexp"
	"strings"

	"slipway/lab/terraform-provider-aws/schema"
)

var attributeGetter = regexp.MustCompile(`^(cdktf\.Fn\.tolist\()?this\.get(\w+?)Attribute\('\w+'\)\)?$`)

var scalars = map[string]string{"string": "string", "number": "number", "boolean": "bool"}

// typeOfGetter is the type of an attribute that can only be read.
func typeOfGetter(expression string) (schema.Type, error) {
	found := attributeGetter.FindStringSubmatch(expression)
	if found == nil {
		return nil, fmt.Errorf("getter %q is of no known form", expression)
	}
	isSet, what := found[1] != "", strings.ToLower(found[2])
	if element, ok := strings.CutSuffix(what, "map"); ok {
		return collectionOfScalars("map", element)
	}
	if element, ok := strings.CutSuffix(what, "list"); ok {
		if element == "" {
			element = "string"
		}
		if isSet {
			return collectionOfScalars("set", element)
		}
		return collectionOfScalars("list", element)
	}
	return scalar(what)
}

// typeOfStorage is the type of an attribute that can be set.
func typeOfStorage(entry hcl) (schema.Type, error) {
	switch entry.kind {
	case "simple":
		return scalar(entry.storage)
	case "list", "set":
		return collectionOfScalars(entry.kind, strings.TrimSuffix(entry.storage, "List"))
	case "map":
		return collectionOfScalars("map", strings.TrimSuffix(entry.storage, "Map"))
	}
	return nil, fmt.Errorf("attribute of kind %q", entry.kind)
}

func scalar(name string) (schema.Type, error) {
	kind, ok := scalars[name]
	if !ok {
		return nil, fmt.Errorf("%q is no scalar type", name)
	}
	return schema.Scalar(kind), nil
}

func collectionOfScalars(collection, element string) (schema.Type, error) {
	kind, err := scalar(element)
	if err != nil {
		return nil, err
	}
	return schema.CollectionOf(collection, kind), nil
}
