package main

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"slipway/lab/terraform-provider-aws/schema"
)

func configured(t *testing.T) *provider {
	t.Helper()
	types, err := schema.Parse(awsSchema)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProvider(types)
	if err != nil {
		t.Fatal(err)
	}
	tags := tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, map[string]tftypes.Value{"project": str("slipway"), "ttl": str("never")})
	config := object(t, p.served.Provider, map[string]tftypes.Value{"region": str("eu-central-1")})
	blockType := p.served.Provider.ValueType().(tftypes.Object).AttributeTypes["default_tags"].(tftypes.List)
	config["default_tags"] = tftypes.NewValue(blockType, []tftypes.Value{
		tftypes.NewValue(blockType.ElementType, map[string]tftypes.Value{"tags": tags}),
	})
	response, err := p.ConfigureProvider(context.Background(), &tfprotov5.ConfigureProviderRequest{Config: dynamic(t, p.served.Provider, config)})
	if err != nil {
		t.Fatal(err)
	}
	if len(response.Diagnostics) != 1 || response.Diagnostics[0].Severity != tfprotov5.DiagnosticSeverityWarning {
		t.Fatalf("it does not say that it is a stand-in: %v", response.Diagnostics)
	}
	return p
}

func str(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }

// object is a value of the schema: null everywhere but at the members given.
func object(t *testing.T, s *tfprotov5.Schema, given map[string]tftypes.Value) map[string]tftypes.Value {
	t.Helper()
	all := map[string]tftypes.Value{}
	for name, kind := range s.ValueType().(tftypes.Object).AttributeTypes {
		all[name] = tftypes.NewValue(kind, nil)
		if _, isList := kind.(tftypes.List); isList {
			for _, block := range s.Block.BlockTypes {
				if block.TypeName == name { // an absent block is an empty list
					all[name] = tftypes.NewValue(kind, []tftypes.Value{})
				}
			}
		}
	}
	for name, value := range given {
		all[name] = value
	}
	return all
}

func dynamic(t *testing.T, s *tfprotov5.Schema, value any) *tfprotov5.DynamicValue {
	t.Helper()
	encoded, err := tfprotov5.NewDynamicValue(s.ValueType(), tftypes.NewValue(s.ValueType(), value))
	if err != nil {
		t.Fatal(err)
	}
	return &encoded
}

func planned(t *testing.T, p *provider, typeName string, prior, proposed any) map[string]tftypes.Value {
	t.Helper()
	served := p.served.ResourceSchemas[typeName]
	response, err := p.PlanResourceChange(context.Background(), &tfprotov5.PlanResourceChangeRequest{
		TypeName: typeName, PriorState: dynamic(t, served, prior), ProposedNewState: dynamic(t, served, proposed),
	})
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, response.PlannedState, served)
}

func applied(t *testing.T, p *provider, typeName string, plan map[string]tftypes.Value) map[string]tftypes.Value {
	t.Helper()
	served := p.served.ResourceSchemas[typeName]
	response, err := p.ApplyResourceChange(context.Background(), &tfprotov5.ApplyResourceChangeRequest{
		TypeName: typeName, PlannedState: dynamic(t, served, plan),
	})
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, response.NewState, served)
}

func decoded(t *testing.T, value *tfprotov5.DynamicValue, s *tfprotov5.Schema) map[string]tftypes.Value {
	t.Helper()
	all, err := members(value, s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAPlanLeavesUnknownWhatOnlyAWSKnows(t *testing.T) {
	p := configured(t)
	proposed := object(t, p.served.ResourceSchemas["aws_vpc"], map[string]tftypes.Value{
		"cidr_block": str("10.0.0.0/16"),
		"tags":       tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, map[string]tftypes.Value{"ttl": str("2026-12-31")}),
	})
	plan := planned(t, p, "aws_vpc", nil, proposed)
	if plan["id"].IsKnown() || plan["arn"].IsKnown() {
		t.Error("the id or the arn is known before the VPC is there")
	}
	if !plan["cidr_block"].Equal(str("10.0.0.0/16")) || !plan["region"].Equal(str("eu-central-1")) {
		t.Errorf("the address range or the region is lost: %v", plan)
	}
	if !plan["instance_tenancy"].IsKnown() {
		t.Error("an argument that was left out, and that AWS does not fill in, became unknown")
	}
	wanted := tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, map[string]tftypes.Value{"project": str("slipway"), "ttl": str("2026-12-31")})
	if !plan["tags_all"].Equal(wanted) {
		t.Errorf("a resource's own tags win over the provider's: %v", plan["tags_all"])
	}
}

func TestAnAppliedResourceNeedsNoFurtherChange(t *testing.T) {
	p := configured(t)
	proposed := object(t, p.served.ResourceSchemas["aws_eks_cluster"], map[string]tftypes.Value{"name": str("slipway"), "role_arn": str("role")})
	state := applied(t, p, "aws_eks_cluster", planned(t, p, "aws_eks_cluster", nil, proposed))
	for name, value := range state {
		if !value.IsFullyKnown() {
			t.Errorf("%s is unknown after the apply", name)
		}
	}
	var authorities []tftypes.Value
	if err := state["certificate_authority"].As(&authorities); err != nil || len(authorities) != 1 {
		t.Errorf("configurations take the first certificate authority, and there are %d: %v", len(authorities), err)
	}
	for name, value := range planned(t, p, "aws_eks_cluster", state, state) {
		if !value.Equal(state[name]) {
			t.Errorf("%s changes though nothing changed: %v", name, value)
		}
	}
}

func TestADestroyIsPlannedAndApplied(t *testing.T) {
	p := configured(t)
	served := p.served.ResourceSchemas["aws_vpc"]
	prior := object(t, served, map[string]tftypes.Value{"id": str("vpc-1")})
	plan, err := p.PlanResourceChange(context.Background(), &tfprotov5.PlanResourceChangeRequest{
		TypeName: "aws_vpc", PriorState: dynamic(t, served, prior), ProposedNewState: dynamic(t, served, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	end, err := p.ApplyResourceChange(context.Background(), &tfprotov5.ApplyResourceChangeRequest{TypeName: "aws_vpc", PlannedState: plan.PlannedState})
	if err != nil {
		t.Fatal(err)
	}
	value, err := end.NewState.Unmarshal(served.ValueType())
	if err != nil || !value.IsNull() {
		t.Errorf("something is left: %v, %v", value, err)
	}
}

func TestADataSourceWithoutFactsIsRefusedNotInvented(t *testing.T) {
	p := configured(t)
	p.served.DataSourceSchemas["aws_ami"] = p.served.DataSourceSchemas["aws_partition"]
	config := dynamic(t, p.served.DataSourceSchemas["aws_ami"], object(t, p.served.DataSourceSchemas["aws_ami"], nil))
	response, err := p.ReadDataSource(context.Background(), &tfprotov5.ReadDataSourceRequest{TypeName: "aws_ami", Config: config})
	if err != nil {
		t.Fatal(err)
	}
	if response.State != nil || len(response.Diagnostics) != 1 {
		t.Errorf("got %v, %v", response.State, response.Diagnostics)
	}
}

func TestEveryDataSourceItServesHasFacts(t *testing.T) {
	p := configured(t)
	for name, served := range p.served.DataSourceSchemas {
		response, err := p.ReadDataSource(context.Background(), &tfprotov5.ReadDataSourceRequest{
			TypeName: name, Config: dynamic(t, served, object(t, served, nil)),
		})
		if err != nil || len(response.Diagnostics) > 0 {
			t.Errorf("%s: %v, %v", name, err, response)
		}
	}
}

func TestABrokenSchemaFileIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"empty":     "",
		"truncated": string(awsSchema[:len(awsSchema)/2]),
		"other":     `{"provider_schemas":{"registry.terraform.io/hashicorp/google":{}}}`,
	} {
		if _, err := schema.Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, block := range map[string]schema.Block{
		"no type":      {Attributes: map[string]schema.Attribute{"name": {Type: schema.Type(`"mystery"`)}}},
		"no such mode": {Blocks: map[string]schema.NestedBlock{"rule": {NestingMode: "bag"}}},
	} {
		if _, err := newProvider(schema.Provider{Resources: map[string]schema.Schema{"aws_vpc": {Block: block}}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What builds the stand-in into a mirror reads from this file where it belongs there.
func TestTheStandInSaysForWhomItStandsIn(t *testing.T) {
	text, err := os.ReadFile("stand-in.json")
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Address, Version string }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	if said.Address != schema.Address || said.Version == "" {
		t.Errorf("stand-in.json says %+v, the schemas are of %s", said, schema.Address)
	}
}
