package main

import (
	"crypto/sha256"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"slipway/lab/terraform-provider-aws/schema"
)

// plan is what the proposed state becomes once the provider has had its say: what only AWS can know is
// unknown; the region and the tags that the provider's own configuration adds are filled in.
func (p *provider) plan(block schema.Block, prior, proposed tftypes.Value) (tftypes.Value, error) {
	if proposed.IsNull() {
		return proposed, nil // a destroy
	}
	if prior.IsNull() || !prior.Equal(proposed) {
		var err error
		if proposed, err = unknownWhereComputed(block, proposed); err != nil {
			return proposed, err
		}
	}
	var state map[string]tftypes.Value
	if err := proposed.As(&state); err != nil {
		return proposed, err
	}
	if region, ok := state["region"]; ok && !region.IsKnown() && p.region != "" {
		state["region"] = tftypes.NewValue(tftypes.String, p.region)
	}
	if _, ok := state["tags_all"]; ok {
		state["tags_all"] = p.allTags(state["tags"])
	}
	return tftypes.NewValue(proposed.Type(), state), nil
}

func unknownWhereComputed(block schema.Block, value tftypes.Value) (tftypes.Value, error) {
	return tftypes.Transform(value, func(path *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if attribute, ok := block.At(path); ok && attribute.Computed && v.IsNull() {
			return tftypes.NewValue(v.Type(), tftypes.UnknownValue), nil
		}
		return v, nil
	})
}

func (p *provider) allTags(tags tftypes.Value) tftypes.Value {
	kind := tftypes.Map{ElementType: tftypes.String}
	all := maps.Clone(p.defaultTags)
	if all == nil {
		all = map[string]tftypes.Value{}
	}
	if !tags.IsKnown() {
		return tftypes.NewValue(kind, tftypes.UnknownValue)
	}
	if !tags.IsNull() {
		var own map[string]tftypes.Value
		if err := tags.As(&own); err != nil {
			return tftypes.NewValue(kind, tftypes.UnknownValue)
		}
		maps.Copy(all, own)
	}
	return tftypes.NewValue(kind, all)
}

// makeUp replaces each unknown by a value that says it is made up. The same plan gives the same values.
func makeUp(typeName string, planned tftypes.Value) (tftypes.Value, error) {
	if planned.IsNull() {
		return planned, nil
	}
	digest := sha256.Sum256([]byte(typeName + planned.String()))
	return tftypes.Transform(planned, func(path *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if v.IsKnown() {
			return v, nil
		}
		return fill(v.Type(), fmt.Sprintf("stand-in-%x-%s", digest[:6], path.LastStep())), nil
	})
}

func fill(kind tftypes.Type, label string) tftypes.Value {
	switch kind := kind.(type) {
	case tftypes.List:
		if _, ok := kind.ElementType.(tftypes.Object); ok {
			// Configurations index into these: certificate_authority[0].data.
			return tftypes.NewValue(kind, []tftypes.Value{fill(kind.ElementType, label)})
		}
		return tftypes.NewValue(kind, []tftypes.Value{})
	case tftypes.Set:
		return tftypes.NewValue(kind, []tftypes.Value{})
	case tftypes.Map:
		return tftypes.NewValue(kind, map[string]tftypes.Value{})
	case tftypes.Object:
		object := map[string]tftypes.Value{}
		for name, member := range kind.AttributeTypes {
			object[name] = fill(member, label+"-"+name)
		}
		return tftypes.NewValue(kind, object)
	}
	switch {
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, 0)
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, false)
	}
	return tftypes.NewValue(kind, label)
}

// facts are the stand-in's answers to data sources.
func (p *provider) facts(typeName string) (map[string]tftypes.Value, bool) {
	stringOf := func(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }
	switch typeName {
	case "aws_default_tags":
		return map[string]tftypes.Value{
			"id":   stringOf("aws"),
			"tags": tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, p.defaultTags),
		}, true
	case "aws_partition":
		return map[string]tftypes.Value{
			"partition":          stringOf("aws"),
			"dns_suffix":         stringOf("amazonaws.com"),
			"reverse_dns_prefix": stringOf("com.amazonaws"),
			"id":                 stringOf("aws"),
		}, true
	case "aws_availability_zones":
		var zones []tftypes.Value
		for _, letter := range []string{"a", "b", "c"} {
			zones = append(zones, stringOf(p.region+letter))
		}
		return map[string]tftypes.Value{
			"id":          stringOf(p.region),
			"region":      stringOf(p.region),
			"names":       tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, zones),
			"zone_ids":    tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, []tftypes.Value{}),
			"group_names": tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, []tftypes.Value{}),
		}, true
	}
	return nil, false
}

func members(config *tfprotov5.DynamicValue, served *tfprotov5.Schema) (map[string]tftypes.Value, error) {
	value, err := config.Unmarshal(served.ValueType())
	if err != nil {
		return nil, err
	}
	var all map[string]tftypes.Value
	return all, value.As(&all)
}

// text is the empty string for null and for unknown.
func text(value tftypes.Value) (string, error) {
	var s string
	if value.IsNull() || !value.IsKnown() {
		return s, nil
	}
	return s, value.As(&s)
}

func defaultTags(blocks tftypes.Value) (map[string]tftypes.Value, error) {
	var all []tftypes.Value
	if err := blocks.As(&all); err != nil {
		return nil, err
	}
	tags := map[string]tftypes.Value{}
	for _, block := range all {
		var inside map[string]tftypes.Value
		if err := block.As(&inside); err != nil {
			return nil, err
		}
		if inside["tags"].IsNull() || !inside["tags"].IsKnown() {
			continue
		}
		var some map[string]tftypes.Value
		if err := inside["tags"].As(&some); err != nil {
			return nil, err
		}
		maps.Copy(tags, some)
	}
	return tags, nil
}
