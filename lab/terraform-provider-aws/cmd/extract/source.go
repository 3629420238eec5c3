package main

import (
	"fmt"
	"regexp"
	"strings"

	"slipway/lab/terraform-provider-aws/schema"
)

// source is one generated TypeScript module. Its shape is that of a code generator, the same for every
// type, so line patterns read it exactly; whatever does not match is an error, never a guess.
type source string

var (
	member   = regexp.MustCompile(`(?m)^  // ([a-z0-9_]+) - computed: (true|false), optional: (true|false), required: (true|false)$`)
	nested   = regexp.MustCompile(`(?m)^  private _\w+ = new (\w+?)(List|OutputReference)\(this, "\w+"(?:, (true|false))?\);$`)
	mapping  = regexp.MustCompile(`(?m)^  private _\w+ = new cdktf\.(\w+)Map\(this, "\w+"\);$`)
	getter   = regexp.MustCompile(`(?m)^    return (.+);$`)
	hclEntry = regexp.MustCompile(`(?m)^ {4,6}([a-z0-9_]+): \{\n +value: (.+),\n +isBlock: (true|false),\n +type: "(\w+)",\n +storageClassType: "(\w+)",\n`)
	field    = regexp.MustCompile(`(?m)^  readonly (\w+)(\??): `)
)

// hcl is how the bindings write one settable attribute or block.
type hcl struct {
	value   string
	isBlock bool
	kind    string // simple, list, set, map or struct
	storage string // "string", "stringList", or the name of a nested class
}

func (s source) classOf(resourceType string) (string, error) {
	pattern := regexp.MustCompile(`(?s)export class (\w+) extends cdktf\.Terraform\w+ \{.{0,200}tfResourceType = "` + resourceType + `"`)
	found := pattern.FindStringSubmatch(string(s))
	if found == nil {
		return "", fmt.Errorf("no class for %s", resourceType)
	}
	return found[1], nil
}

// section is the text from the first line that starts with opening up to the closing brace in column one.
func (s source) section(opening string) (string, error) {
	_, text, ok := strings.Cut(string(s), "\n"+opening)
	if !ok {
		return "", fmt.Errorf("no %q", opening)
	}
	text, _, ok = strings.Cut(text, "\n}")
	if !ok {
		return "", fmt.Errorf("%q does not end", opening)
	}
	return text, nil
}

func hclEntries(text string) map[string]hcl {
	entries := map[string]hcl{}
	for _, e := range hclEntry.FindAllStringSubmatch(text, -1) {
		// The blocks that may be written as attributes say so in their mapper's second argument only.
		asAttribute := strings.HasPrefix(e[2], "cdktf.listMapperHcl(") && strings.Contains(e[2], ", false)(")
		entries[e[1]] = hcl{value: e[2], isBlock: e[3] == "true" && !asAttribute, kind: e[4], storage: e[5]}
	}
	return entries
}

// schemaOf is the schema of a resource, data source or provider class.
func (s source) schemaOf(class string) (schema.Schema, error) {
	text, err := s.section("export class " + class + " ")
	if err != nil {
		return schema.Schema{}, err
	}
	_, settable, _ := strings.Cut(text, "protected synthesizeHclAttributes()")
	block, err := s.block(text, hclEntries(settable))
	return schema.Schema{Block: block}, err
}

// nestedBlock is the schema of what is inside a block, or of the object inside an attribute.
func (s source) nestedBlock(class string) (schema.Block, error) {
	function := strings.ToLower(class[:1]) + class[1:] + "ToHclTerraform("
	settable, err := s.section("export function " + function)
	if err != nil {
		settable = "" // what can only be read has no writer
	}
	text, err := s.section("export class " + class + "OutputReference ")
	if err != nil {
		return s.configurationOnly(class, hclEntries(settable))
	}
	return s.block(text, hclEntries(settable))
}

func (s source) block(text string, settable map[string]hcl) (schema.Block, error) {
	var block schema.Block
	places := member.FindAllStringSubmatchIndex(text, -1)
	for i, place := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		group := func(n int) string { return text[place[2*n]:place[2*n+1]] }
		name := group(1)
		attribute := schema.Attribute{Computed: group(2) == "true", Optional: group(3) == "true", Required: group(4) == "true"}
		entry, isSettable := settable[name]
		if err := s.add(&block, name, attribute, entry, isSettable, text[place[1]:end]); err != nil {
			return block, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(places) == 0 && len(settable) > 0 {
		return block, fmt.Errorf("%d settable attributes, but none is described", len(settable))
	}
	return block, nil
}

// add puts one member into the block: as a nested block, or as an attribute with its type.
func (s source) add(block *schema.Block, name string, attribute schema.Attribute, entry hcl, isSettable bool, text string) error {
	class := nested.FindStringSubmatch(text)
	switch {
	case class == nil && !isSettable && mapping.MatchString(text):
		kind, err := collectionOfScalars("map", strings.ToLower(mapping.FindStringSubmatch(text)[1]))
		if err != nil {
			return err
		}
		attribute.Type = kind
	case class == nil && !isSettable:
		read := getter.FindStringSubmatch(text)
		if read == nil {
			return fmt.Errorf("no getter")
		}
		kind, err := typeOfGetter(read[1])
		if err != nil {
			return err
		}
		attribute.Type = kind
	case class == nil && !entry.isBlock:
		kind, err := typeOfStorage(entry)
		if err != nil {
			return err
		}
		attribute.Type = kind
	case isSettable && entry.isBlock:
		nestedClass := strings.TrimSuffix(entry.storage, "List")
		single := false
		if class != nil {
			nestedClass, single = class[1], class[2] == "OutputReference"
		}
		inside, err := s.nestedBlock(nestedClass)
		if err != nil {
			return err
		}
		blockType := schema.NestedBlock{Block: inside, NestingMode: entry.kind}
		if entry.kind == "struct" {
			blockType.NestingMode = "single"
		} else {
			if attribute.Required {
				blockType.MinItems = 1
			}
			if single {
				blockType.MaxItems = 1
			}
		}
		block.AddBlock(name, blockType)
		return nil
	default:
		inside, err := s.nestedBlock(class[1])
		if err != nil {
			return err
		}
		object, err := inside.ObjectType()
		if err != nil {
			return err
		}
		collection := "list"
		if class[3] == "true" || entry.kind == "set" {
			collection = "set"
		}
		attribute.Type = schema.CollectionOf(collection, object)
	}
	block.AddAttribute(name, attribute)
	return nil
}

// configurationOnly reads a block that cannot be read back, as all of the provider's own blocks.
func (s source) configurationOnly(class string, settable map[string]hcl) (schema.Block, error) {
	var block schema.Block
	text, err := s.section("export interface " + class + " ")
	if err != nil {
		return block, err
	}
	optional := map[string]bool{}
	for _, f := range field.FindAllStringSubmatch(text, -1) {
		optional[strings.ToLower(f[1])] = f[2] == "?"
	}
	for name, entry := range settable {
		isOptional, ok := optional[strings.ReplaceAll(name, "_", "")]
		if !ok {
			return block, fmt.Errorf("%s: %s has no such field", name, class)
		}
		kind, err := typeOfStorage(entry)
		if err != nil {
			return block, fmt.Errorf("%s: %w", name, err)
		}
		block.AddAttribute(name, schema.Attribute{Type: kind, Optional: isOptional, Required: !isOptional})
	}
	return block, nil
}
