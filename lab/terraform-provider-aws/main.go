// Command terraform-provider-aws is a stand-in for the hashicorp/aws provider. It serves the real
// provider's schemas for the types this project's configuration uses, so that `terraform init`, `validate`,
// `plan` and `test` run for real where there is neither an AWS account nor a network.
//
// It never talks to AWS and must never be shipped or used where something is to be created.
package main

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"

	"slipway/lab/terraform-provider-aws/schema"
)

//go:embed schema/aws.json
var awsSchema []byte

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "terraform-provider-aws (stand-in):", err)
		os.Exit(1)
	}
}

func serve() error {
	types, err := schema.Parse(awsSchema)
	if err != nil {
		return err
	}
	provider, err := newProvider(types)
	if err != nil {
		return err
	}
	return tf5server.Serve(schema.Address, func() tfprotov5.ProviderServer { return provider })
}
