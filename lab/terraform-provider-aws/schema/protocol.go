package schema

import (
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

var nestingModes = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
}

// Protocol is the schema as Terraform wants it served.
func (s Schema) Protocol() (*tfprotov5.Schema, error) {
	block, err := s.Block.protocol()
	return &tfprotov5.Schema{Version: s.Version, Block: block}, err
}

func (b Block) protocol() (*tfprotov5.SchemaBlock, error) {
	block := &tfprotov5.SchemaBlock{}
	for _, name := range names(b.Attributes) {
		attribute := b.Attributes[name]
		//lint:ignore SA1019 tftypes offers no other reader of the JSON form of a type
		kind, err := tftypes.ParseJSONType(attribute.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		block.Attributes = append(block.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: kind,
			Optional: attribute.Optional, Required: attribute.Required, Computed: attribute.Computed,
		})
	}
	for _, name := range names(b.Blocks) {
		nested := b.Blocks[name]
		mode, ok := nestingModes[nested.NestingMode]
		if !ok {
			return nil, fmt.Errorf("%s: nesting mode %q", name, nested.NestingMode)
		}
		inside, err := nested.Block.protocol()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		block.BlockTypes = append(block.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: inside, Nesting: mode, MinItems: nested.MinItems, MaxItems: nested.MaxItems,
		})
	}
	return block, nil
}

func names[T any](members map[string]T) []string {
	var all []string
	for name := range members {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// At is the attribute that a path inside a value of this block leads to, if it ends at one.
func (b Block) At(path *tftypes.AttributePath) (Attribute, bool) {
	steps := path.Steps()
	for i, step := range steps {
		name, ok := step.(tftypes.AttributeName)
		if !ok {
			continue // the position inside a list or set of blocks
		}
		if attribute, ok := b.Attributes[string(name)]; ok {
			return attribute, i == len(steps)-1
		}
		b = b.Blocks[string(name)].Block
	}
	return Attribute{}, false
}
