package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

func TestACertificateIsSignedByTheAuthorityAndServesItsHosts(t *testing.T) {
	folder := t.TempDir()
	signer, err := obtain(filepath.Join(folder, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "node", "kubelet")
	asked := request{Path: path, Name: "system:node:n1", Groups: []string{"system:nodes"}, Hosts: []string{"n1", "10.0.0.1"}}
	if err := issue(signer, asked); err != nil {
		t.Fatal(err)
	}
	bytes, err := load(path + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(signer.certificate)
	for _, host := range asked.Hosts {
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if _, err := certificate.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, KeyUsages: usages}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if certificate.Subject.CommonName != asked.Name || certificate.Subject.Organization[0] != "system:nodes" {
		t.Errorf("it is for %v", certificate.Subject)
	}
	if mode, _ := os.Stat(path + ".key"); mode.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %v", mode.Mode())
	}
}

func TestWhatIsThereIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	first, err := obtain(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := obtain(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.certificate.Equal(second.certificate) {
		t.Error("the authority was made anew")
	}
}

func TestAFileThatIsNotPemIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(path+".crt", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(path + ".crt"); err == nil {
		t.Error("it was taken for a certificate")
	}
}
