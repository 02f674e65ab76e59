-- The table of the vendor's guide, filled by the vendor's DBStore: see make_oauthtoken.py.
BEGIN TRANSACTION;
CREATE TABLE oauthtoken (id varchar(10) NOT NULL, user_name varchar(255), client_id varchar(255), client_secret varchar(255), refresh_token varchar(255), access_token varchar(255), grant_token varchar(255), expiry_time varchar(20), redirect_url varchar(255), api_domain varchar(255), primary key (id));
INSERT INTO "oauthtoken" VALUES('1','ada@example.com','1000.A','s1','1000.r1','1000.a1',NULL,'1795000000000','https://app.example.com/cb?a=1,2','https://www.zohoapis.com');
INSERT INTO "oauthtoken" VALUES('2','grace@example.com','1000.A','s1',NULL,NULL,'1000.g2',NULL,NULL,NULL);
INSERT INTO "oauthtoken" VALUES('3','o''hara@example.com','1000.A','s1','1000.r''; DROP TABLE oauthtoken; --',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "oauthtoken" VALUES('4',NULL,'1000.C','s3','1000.r4','1000.a4',NULL,NULL,NULL,NULL);
COMMIT;
