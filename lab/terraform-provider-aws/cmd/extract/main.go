// Command extract reads the published CDKTF bindings of the hashicorp/aws provider and writes the schemas
// of the resource and data types that a Terraform configuration uses, in the format of
// `terraform providers schema -json`.
//
// The bindings are generated from the real provider's schema, and their source maps hold the TypeScript
// they were compiled from, where every attribute carries "computed, optional, required" as a comment. Three
// things the bindings do not carry, and so neither does the result: default values, which changes force a
// replacement, and which attributes are sensitive.
//
//	npm pack @cdktf/provider-aws@21.22.1
//	go run ./cmd/extract -package cdktf-provider-aws-21.22.1.tgz -configuration ../../infra/terraform \
//	    -out schema/aws.json
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"slipway/lab/terraform-provider-aws/schema"
)

func main() {
	packageFile := flag.String("package", "", "the @cdktf/provider-aws archive, as `npm pack` leaves it")
	configuration := flag.String("configuration", "", "directory tree of Terraform files whose types are wanted")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := run(*packageFile, *configuration, *out); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(packageFile, configuration, out string) error {
	if packageFile == "" || configuration == "" || out == "" {
		return errors.New("-package, -configuration and -out are all needed")
	}
	used, err := typesUsed(configuration)
	if err != nil {
		return err
	}
	wanted := []string{"provider"}
	for _, t := range append(used.resources, used.data...) {
		wanted = append(wanted, t.folder)
	}
	archive, err := readArchive(packageFile, wanted)
	if err != nil {
		return err
	}

	document, err := extract(archive, used)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func extract(archive archive, used typeSet) (schema.Document, error) {
	document := schema.Document{Origin: archive.origin, FormatVersion: "1.0"}
	provider := schema.Provider{Resources: map[string]schema.Schema{}, DataSources: map[string]schema.Schema{}}

	source, err := archive.source("provider")
	if err != nil {
		return document, err
	}
	if provider.Provider, err = source.schemaOf("AwsProvider"); err != nil {
		return document, err
	}
	delete(provider.Provider.Block.Attributes, "alias") // Terraform's own argument, no part of any schema
	for _, group := range []struct {
		types []usedType
		into  map[string]schema.Schema
	}{{used.resources, provider.Resources}, {used.data, provider.DataSources}} {
		for _, t := range group.types {
			source, err := archive.source(t.folder)
			if err != nil {
				return document, err
			}
			class, err := source.classOf(t.name)
			if err != nil {
				return document, err
			}
			if group.into[t.name], err = source.schemaOf(class); err != nil {
				return document, fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	document.Providers = map[string]schema.Provider{schema.Address: provider}
	return document, nil
}

type usedType struct{ name, folder string }

type typeSet struct{ resources, data []usedType }

var declaration = regexp.MustCompile(`(?m)^(resource|data) "aws_([a-z0-9_]+)"`)

// typesUsed finds the AWS types that the .tf files under root declare.
func typesUsed(root string) (typeSet, error) {
	resources, data := map[string]string{}, map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".terraform" {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".tf" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range declaration.FindAllStringSubmatch(string(text), -1) {
			folder := strings.ReplaceAll(found[2], "_", "-")
			if found[1] == "data" {
				data["aws_"+found[2]] = "data-aws-" + folder
			} else {
				resources["aws_"+found[2]] = folder
			}
		}
		return nil
	})
	if err == nil && len(resources) == 0 {
		err = fmt.Errorf("no aws resource is declared in any .tf file under %s", root)
	}
	return typeSet{sorted(resources), sorted(data)}, err
}

func sorted(folders map[string]string) []usedType {
	var all []usedType
	for name, folder := range folders {
		all = append(all, usedType{name, folder})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}
