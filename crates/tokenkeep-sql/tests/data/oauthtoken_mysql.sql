-- The table of the vendor's guide in MariaDB, filled by the vendor's DBStore: see make_oauthtoken_mysql.py.
CREATE TABLE `oauthtoken` (
  `id` varchar(10) NOT NULL,
  `user_name` varchar(255) DEFAULT NULL,
  `client_id` varchar(255) DEFAULT NULL,
  `client_secret` varchar(255) DEFAULT NULL,
  `refresh_token` varchar(255) DEFAULT NULL,
  `access_token` varchar(255) DEFAULT NULL,
  `grant_token` varchar(255) DEFAULT NULL,
  `expiry_time` varchar(20) DEFAULT NULL,
  `redirect_url` varchar(255) DEFAULT NULL,
  `api_domain` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `oauthtoken` VALUES ('1','ada@example.com','1000.A','s1','1000.r1','1000.a1',NULL,'1795000000000','https://app.example.com/cb?a=1,2','https://www.zohoapis.com');
INSERT INTO `oauthtoken` VALUES ('2','grace@example.com','1000.A','s1',NULL,NULL,'1000.g2',NULL,NULL,NULL);
INSERT INTO `oauthtoken` VALUES ('3','o\'hara@example.com','1000.A','s1','1000.r\'; DROP TABLE oauthtoken; --',NULL,NULL,NULL,NULL,NULL);
INSERT INTO `oauthtoken` VALUES ('4',NULL,'1000.C','s3','1000.r4','1000.a4',NULL,NULL,NULL,NULL);
