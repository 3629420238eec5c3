// Package schema is the data that the stand-in serves: provider schemas in the format of
// `terraform providers schema -json`, with the place they were taken from.
package schema

import (
	"encoding/json"
	"fmt"
)

// Address is the provider whose place the stand-in takes.
const Address = "registry.terraform.io/hashicorp/aws"

// Document is the whole file.
type Document struct {
	Origin        Origin              `json:"origin"`
	FormatVersion string              `json:"format_version"`
	Providers     map[string]Provider `json:"provider_schemas"`
}

// Origin names the published package that the schemas were taken from.
type Origin struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	License   string `json:"license"`
	Integrity string `json:"integrity"`
}

// Provider holds the schemas of one provider.
type Provider struct {
	Provider    Schema            `json:"provider"`
	Resources   map[string]Schema `json:"resource_schemas"`
	DataSources map[string]Schema `json:"data_source_schemas"`
}

// Schema is one type's.
type Schema struct {
	Version int64 `json:"version"`
	Block   Block `json:"block"`
}

// Block is what may stand between two braces.
type Block struct {
	Attributes map[string]Attribute   `json:"attributes,omitempty"`
	Blocks     map[string]NestedBlock `json:"block_types,omitempty"`
}

// Attribute is one argument or exported value.
type Attribute struct {
	Type     Type `json:"type"`
	Optional bool `json:"optional,omitempty"`
	Required bool `json:"required,omitempty"`
	Computed bool `json:"computed,omitempty"`
}

// NestedBlock says how often a block may stand inside another. NestingMode is list, set or single.
type NestedBlock struct {
	NestingMode string `json:"nesting_mode"`
	Block       Block  `json:"block"`
	MinItems    int64  `json:"min_items,omitempty"`
	MaxItems    int64  `json:"max_items,omitempty"`
}

// Type is a Terraform type constraint in its JSON form: "string", ["set","string"], ["list",["object",{…}]].
type Type = json.RawMessage

// Scalar is the type of the given name.
func Scalar(name string) Type { return Type(fmt.Sprintf("%q", name)) }

// CollectionOf is a list, set or map of elements.
func CollectionOf(collection string, element Type) Type {
	return Type(fmt.Sprintf("[%q,%s]", collection, element))
}

// ObjectType is the block seen as the type of a value.
func (b Block) ObjectType() (Type, error) {
	members := map[string]Type{}
	for name, attribute := range b.Attributes {
		members[name] = attribute.Type
	}
	for name, nested := range b.Blocks {
		object, err := nested.Block.ObjectType()
		if err != nil {
			return nil, err
		}
		if nested.NestingMode != "single" {
			object = CollectionOf(nested.NestingMode, object)
		}
		members[name] = object
	}
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return Type(fmt.Sprintf(`["object",%s]`, text)), nil
}

// AddAttribute puts an attribute into the block.
func (b *Block) AddAttribute(name string, attribute Attribute) {
	if b.Attributes == nil {
		b.Attributes = map[string]Attribute{}
	}
	b.Attributes[name] = attribute
}

// AddBlock puts a nested block into the block.
func (b *Block) AddBlock(name string, nested NestedBlock) {
	if b.Blocks == nil {
		b.Blocks = map[string]NestedBlock{}
	}
	b.Blocks[name] = nested
}

// Parse reads a document and returns the schemas of the provider that the stand-in stands in for.
func Parse(text []byte) (Provider, error) {
	var document Document
	if err := json.Unmarshal(text, &document); err != nil {
		return Provider{}, fmt.Errorf("provider schemas: %w", err)
	}
	provider, ok := document.Providers[Address]
	if !ok {
		return Provider{}, fmt.Errorf("provider schemas: none of %s", Address)
	}
	return provider, nil
}
