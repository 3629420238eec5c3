package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slipway/lab/terraform-provider-aws/schema"
)

// provider.ts in miniature: the real one describes some 300 endpoints.
const providerSource = `
export interface AwsProviderDefaultTags {
  readonly tags?: { [key: string]: string };
}
export function awsProviderDefaultTagsToHclTerraform(struct?: AwsProviderDefaultTags | cdktf.IResolvable): any {
  const attrs = {
    tags: {
      value: cdktf.hashMapperHcl(cdktf.stringToHclTerraform)(struct!.tags),
      isBlock: false,
      type: "map",
      storageClassType: "stringMap",
    },
  };
}
export class AwsProvider extends cdktf.TerraformProvider {
  // alias - computed: false, optional: true, required: false
  private _alias?: string; 
  public get alias() {
    return this._alias;
  }
  // default_tags - computed: false, optional: true, required: false
  private _defaultTags?: AwsProviderDefaultTags[] | cdktf.IResolvable; 
  public get defaultTags() {
    return this._defaultTags;
  }
  protected synthesizeHclAttributes(): { [name: string]: any } {
    const attrs = {
      alias: {
        value: cdktf.stringToHclTerraform(this._alias),
        isBlock: false,
        type: "simple",
        storageClassType: "string",
      },
      default_tags: {
        value: cdktf.listMapperHcl(awsProviderDefaultTagsToHclTerraform, true)(this._defaultTags),
        isBlock: true,
        type: "list",
        storageClassType: "AwsProviderDefaultTagsList",
      },
    };
  }
}
`

// npmPackage packs modules as npm does: each compiled file carries its source in a source map.
func npmPackage(t *testing.T, modules map[string]string) string {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	files := tar.NewWriter(zipped)
	add := func(name, text string) {
		if err := files.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	add("package.json", `{"name":"@cdktf/provider-aws","version":"0.0.0","license":"MPL-2.0"}`)
	for name, source := range modules {
		sourceMap, err := json.Marshal(map[string]any{"version": 3, "sourcesContent": []string{source}})
		if err != nil {
			t.Fatal(err)
		}
		add("lib/"+name+"/index.js", "\"use strict\";\n//# sourceMappingURL=data:application/json;base64,"+base64.StdEncoding.EncodeToString(sourceMap))
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return write(t, "package.tgz", packed.String())
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const configuration = `
resource "aws_eks_access_policy_association" "deployer" {}
data "aws_partition" "current" {}
`

func extracted(t *testing.T, modules map[string]string) (schema.Provider, error) {
	t.Helper()
	configured := write(t, "main.tf", configuration)
	out := filepath.Join(t.TempDir(), "aws.json")
	if err := run(npmPackage(t, modules), filepath.Dir(configured), out); err != nil {
		return schema.Provider{}, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Parse(text)
}

func TestASchemaIsTheOneTheBindingsDescribe(t *testing.T) {
	provider, err := extracted(t, map[string]string{
		"provider":                      providerSource,
		"eks-access-policy-association": recorded(t, "eks-access-policy-association.ts"),
		"data-aws-partition":            recorded(t, "data-aws-partition.ts"),
	})
	if err != nil {
		t.Fatal(err)
	}
	text := func(optional, computed bool) schema.Attribute {
		return schema.Attribute{Type: schema.Scalar("string"), Optional: optional, Computed: computed, Required: !optional && !computed}
	}
	wanted := schema.Block{
		Attributes: map[string]schema.Attribute{
			"associated_at": text(false, true),
			"cluster_name":  text(false, false),
			"id":            text(true, true),
			"modified_at":   text(false, true),
			"policy_arn":    text(false, false),
			"principal_arn": text(false, false),
			"region":        text(true, true),
		},
		Blocks: map[string]schema.NestedBlock{
			"access_scope": {NestingMode: "list", MinItems: 1, MaxItems: 1, Block: schema.Block{Attributes: map[string]schema.Attribute{
				"namespaces": {Type: schema.Type(`["set","string"]`), Optional: true},
				"type":       text(false, false),
			}}},
			"timeouts": {NestingMode: "single", Block: schema.Block{Attributes: map[string]schema.Attribute{
				"create": text(true, false),
				"delete": text(true, false),
			}}},
		},
	}
	same(t, provider.Resources["aws_eks_access_policy_association"].Block, wanted)
	same(t, provider.DataSources["aws_partition"].Block, schema.Block{Attributes: map[string]schema.Attribute{
		"dns_suffix": text(false, true), "id": text(true, true), "partition": text(false, true), "reverse_dns_prefix": text(false, true),
	}})
	same(t, provider.Provider.Block, schema.Block{Blocks: map[string]schema.NestedBlock{
		"default_tags": {NestingMode: "list", Block: schema.Block{Attributes: map[string]schema.Attribute{
			"tags": {Type: schema.Type(`["map","string"]`), Optional: true},
		}}},
	}})
}

// same compares through JSON, which knows no white space inside types.
func same(t *testing.T, got, wanted schema.Block) {
	t.Helper()
	var plain [2]any
	for i, block := range []schema.Block{got, wanted} {
		text, err := json.Marshal(block)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &plain[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(plain[0], plain[1]) {
		t.Errorf("got  %v\nwant %v", plain[0], plain[1])
	}
}

func TestWhatTheBindingsDoNotSayIsAnErrorThatNamesIt(t *testing.T) {
	association, partition := recorded(t, "eks-access-policy-association.ts"), recorded(t, "data-aws-partition.ts")
	for name, test := range map[string]struct {
		association, wanted string
	}{
		"an unknown type":       {strings.Replace(association, `storageClassType: "stringList"`, `storageClassType: "mysteryList"`, 1), `"mystery" is no scalar type`},
		"an unknown getter":     {strings.Replace(association, "this.getStringAttribute('modified_at')", "this.mystery()", 1), `modified_at: getter "this.mystery()"`},
		"another type's module": {partition, "no class for aws_eks_access_policy_association"},
		"a truncated module":    {association[:len(association)/2], "no class for aws_eks_access_policy_association"},
		"an empty module":       {"", "no class for aws_eks_access_policy_association"},
	} {
		_, err := extracted(t, map[string]string{
			"provider": providerSource, "eks-access-policy-association": test.association, "data-aws-partition": partition,
		})
		if err == nil || !strings.Contains(err.Error(), test.wanted) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.wanted)
		}
	}
}

func TestAMissingModuleIsNamed(t *testing.T) {
	_, err := extracted(t, map[string]string{"provider": providerSource})
	if err == nil || !strings.Contains(err.Error(), "has no module lib/eks-access-policy-association") {
		t.Errorf("got %v", err)
	}
}

func TestAFileThatIsNoArchiveIsRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "text": "<html>not found</html>"} {
		configured := write(t, "main.tf", configuration)
		err := run(write(t, "package.tgz", text), filepath.Dir(configured), filepath.Join(t.TempDir(), "aws.json"))
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAConfigurationWithoutResourcesIsAMistake(t *testing.T) {
	configured := write(t, "main.tf", "# nothing yet\n")
	err := run(npmPackage(t, nil), filepath.Dir(configured), filepath.Join(t.TempDir(), "aws.json"))
	if err == nil || !strings.Contains(err.Error(), "no aws resource") {
		t.Errorf("got %v", err)
	}
}
