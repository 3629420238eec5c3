package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"slipway/lab/terraform-provider-aws/schema"
)

// provider answers Terraform from schemas alone. What Terraform asks only of providers that offer functions,
// ephemeral resources or resource identities is left to the embedded interface, which is nil: this one
// offers none, so those are never called.
type provider struct {
	tfprotov5.ProviderServer
	types       schema.Provider
	served      tfprotov5.GetProviderSchemaResponse
	region      string
	defaultTags map[string]tftypes.Value
}

func newProvider(types schema.Provider) (*provider, error) {
	p := &provider{types: types, served: tfprotov5.GetProviderSchemaResponse{
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}}
	var err error
	if p.served.Provider, err = types.Provider.Protocol(); err != nil {
		return nil, fmt.Errorf("schema of the provider: %w", err)
	}
	for name, one := range types.Resources {
		if p.served.ResourceSchemas[name], err = one.Protocol(); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
	}
	for name, one := range types.DataSources {
		if p.served.DataSourceSchemas[name], err = one.Protocol(); err != nil {
			return nil, fmt.Errorf("schema of data %s: %w", name, err)
		}
	}
	return p, nil
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	response := &tfprotov5.GetMetadataResponse{}
	for name := range p.types.Resources {
		response.Resources = append(response.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.types.DataSources {
		response.DataSources = append(response.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return response, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &p.served, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p *provider) ConfigureProvider(_ context.Context, request *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	config, err := members(request.Config, p.served.Provider)
	if err != nil {
		return nil, err
	}
	if p.region, err = text(config["region"]); err != nil {
		return nil, fmt.Errorf("region: %w", err)
	}
	if p.defaultTags, err = defaultTags(config["default_tags"]); err != nil {
		return nil, fmt.Errorf("default_tags: %w", err)
	}
	return &tfprotov5.ConfigureProviderResponse{Diagnostics: []*tfprotov5.Diagnostic{{
		Severity: tfprotov5.DiagnosticSeverityWarning,
		Summary:  "Stand-in for hashicorp/aws",
		Detail:   "This provider knows the schemas of AWS resources and nothing else. No account is asked, nothing is created.",
	}}}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p *provider) UpgradeResourceState(_ context.Context, request *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := p.served.ResourceSchemas[request.TypeName].ValueType()
	state, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	value, err := tfprotov5.NewDynamicValue(kind, state)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &value}, err
}

// ReadResource finds the world as the state has it: there is no other world.
func (p *provider) ReadResource(_ context.Context, request *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: request.CurrentState, Private: request.Private}, nil
}

func (p *provider) PlanResourceChange(_ context.Context, request *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	kind := p.served.ResourceSchemas[request.TypeName].ValueType()
	prior, err := request.PriorState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	proposed, err := request.ProposedNewState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	planned, err := p.plan(p.types.Resources[request.TypeName].Block, prior, proposed)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", request.TypeName, err)
	}
	value, err := tfprotov5.NewDynamicValue(kind, planned)
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: &value}, err
}

func (p *provider) ApplyResourceChange(_ context.Context, request *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	kind := p.served.ResourceSchemas[request.TypeName].ValueType()
	planned, err := request.PlannedState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	made, err := makeUp(request.TypeName, planned)
	if err != nil {
		return nil, fmt.Errorf("apply of %s: %w", request.TypeName, err)
	}
	value, err := tfprotov5.NewDynamicValue(kind, made)
	return &tfprotov5.ApplyResourceChangeResponse{NewState: &value}, err
}

func (p *provider) ImportResourceState(_ context.Context, request *tfprotov5.ImportResourceStateRequest) (*tfprotov5.ImportResourceStateResponse, error) {
	return &tfprotov5.ImportResourceStateResponse{Diagnostics: refusal("import " + request.TypeName)}, nil
}

func (p *provider) MoveResourceState(_ context.Context, request *tfprotov5.MoveResourceStateRequest) (*tfprotov5.MoveResourceStateResponse, error) {
	return &tfprotov5.MoveResourceStateResponse{Diagnostics: refusal("move state to " + request.TargetTypeName)}, nil
}

func (p *provider) ReadDataSource(_ context.Context, request *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	served := p.served.DataSourceSchemas[request.TypeName]
	state, err := members(request.Config, served)
	if err != nil {
		return nil, err
	}
	facts, ok := p.facts(request.TypeName)
	if !ok {
		return &tfprotov5.ReadDataSourceResponse{Diagnostics: refusal("read data " + request.TypeName)}, nil
	}
	for name, fact := range facts {
		state[name] = fact
	}
	kind := served.ValueType()
	value, err := tfprotov5.NewDynamicValue(kind, tftypes.NewValue(kind, state))
	return &tfprotov5.ReadDataSourceResponse{State: &value}, err
}

func refusal(what string) []*tfprotov5.Diagnostic {
	return []*tfprotov5.Diagnostic{{
		Severity: tfprotov5.DiagnosticSeverityError,
		Summary:  "The stand-in for hashicorp/aws cannot " + what,
		Detail:   "It has no account to look at. Use the real provider.",
	}}
}
